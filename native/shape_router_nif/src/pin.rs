//! The library stays in memory: its threads (the reaper, replication connections) would otherwise run
//! in code that was unloaded.

use rustler::{Env, Term};

/// Called when the library is loaded. A failure to pin refuses the load rather than risk the VM.
pub(crate) fn on_load(env: Env<'_>, _info: Term<'_>) -> bool {
    pin() && crate::direct::register(env)
}

#[cfg(unix)]
fn pin() -> bool {
    let mut found = libc::Dl_info {
        dli_fname: std::ptr::null(),
        dli_fbase: std::ptr::null_mut(),
        dli_sname: std::ptr::null(),
        dli_saddr: std::ptr::null_mut(),
    };
    let here = pin as *const () as *const libc::c_void;
    // SAFETY: `here` is an address in this library and `found` is writable; on success dli_fname
    // points to a C string that lives as long as the library, which dlopen only reads. NOLOAD opens
    // nothing new: the handle that is deliberately never closed keeps the library mapped.
    unsafe {
        if libc::dladdr(here, &mut found) == 0 || found.dli_fname.is_null() {
            return false;
        }
        let flags = libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE;
        !libc::dlopen(found.dli_fname, flags).is_null()
    }
}

#[cfg(not(unix))]
fn pin() -> bool {
    true
}
