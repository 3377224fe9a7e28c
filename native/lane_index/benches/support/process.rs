//! What the process takes, as the system counts it.

/// A line of `/proc/self/status` in bytes; 0 where there is none.
fn status(field: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(field));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kilobytes.unwrap_or(0.0) * 1024.0
}

pub fn resident() -> f64 {
    status("VmRSS:")
}

pub fn peak() -> f64 {
    status("VmHWM:")
}

/// Forgets the peak so far; returns what is resident now.
pub fn reset_peak() -> f64 {
    drop(std::fs::write("/proc/self/clear_refs", "5"));
    resident()
}
