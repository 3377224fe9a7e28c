//! Starting, stopping and asking the server.

use crate::install::{self, RunAs};
use std::fs;
use std::io::{self, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const USER: &str = "postgres";
const START_DEADLINE: Duration = Duration::from_secs(60);

/// What every server is started with; [`Server::start_with`] adds to it or overrides it.
const SETTINGS: &[(&str, &str)] = &[
    ("listen_addresses", "127.0.0.1"),
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("wal_level", "logical"),
    ("max_wal_senders", "20"),
    ("max_replication_slots", "20"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("lc_messages", "C"),
    ("shared_buffers", "32MB"),
];

/// Waits on its stdin. A line ("stop") stops the server; the end of the pipe, which also comes when
/// our process dies, stops it and removes the directory.
const SUPERVISOR: &str = r#"
dir=$1; shift
{ "$@" >"$dir/log" 2>&1 </dev/null & pid=$!; echo "$pid" >"$dir/pid"; wait "$pid"; echo "$?" >"$dir/exit"; } &
watched=$!
read -r word
while [ ! -s "$dir/pid" ]; do sleep 0.01; done
[ -e "$dir/exit" ] || kill -QUIT "$(cat "$dir/pid")" 2>/dev/null
wait "$watched"
[ "$word" = stop ] || { cd /; rm -rf "$dir"; }
"#;

/// A running PostgreSQL server of our own. Dropping it stops the server and removes its directory.
#[derive(Debug)]
pub struct Server {
    bin: PathBuf,
    dir: PathBuf,
    run_as: RunAs,
    port: u16,
    settings: Vec<(String, String)>,
    supervisor: Option<Child>,
}

impl Server {
    /// Starts a server with `wal_level = logical` and everything else as the crate page says.
    ///
    /// # Errors
    /// PostgreSQL is not installed, or `initdb` or the server failed; the message says which, with
    /// the end of the log.
    pub fn start() -> io::Result<Server> {
        Server::start_with(&[])
    }

    /// As [`Server::start`], with settings of `postgresql.conf` on top, such as
    /// `("logical_decoding_work_mem", "64kB")` or `("wal_sender_timeout", "2s")`.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_with(settings: &[(&str, &str)]) -> io::Result<Server> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let run_as = RunAs::find()?;
        let dir = std::env::temp_dir().join(format!(
            "pg_fixture-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        ));
        let mut server = Server {
            bin: install::bin_dir()?,
            dir,
            run_as,
            port: 0,
            settings: SETTINGS
                .iter()
                .chain(settings)
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            supervisor: None,
        };
        server.init()?;
        // Between looking for a free port and binding it somebody else may take it.
        let mut attempt = 0;
        loop {
            server.port = free_port()?;
            match server.launch() {
                Err(e) if attempt < 4 && e.to_string().contains("could not bind") => attempt += 1,
                outcome => return outcome.map(|()| server),
            }
        }
    }

    /// The address it listens on, `"127.0.0.1"`.
    pub fn host(&self) -> &str {
        "127.0.0.1"
    }

    /// The port of both the address and the unix socket.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The superuser's name, `"postgres"`.
    pub fn user(&self) -> &str {
        USER
    }

    /// The directory of the unix socket.
    pub fn socket_dir(&self) -> &Path {
        &self.dir
    }

    /// The data directory, for tests that edit `pg_hba.conf`.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// A connection URL for a database of this server.
    pub fn url(&self, database: &str) -> String {
        format!("postgresql://{USER}@{}:{}/{database}", self.host(), self.port)
    }

    /// The server's log since its last start.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// Runs SQL through `psql` over the unix socket, unaligned and without headers, and returns
    /// what it printed. Statements run one by one, as in a script; the first error ends it.
    ///
    /// # Errors
    /// `psql` failed: the error's text is what it wrote to stderr.
    pub fn psql(&self, database: &str, sql: &str) -> io::Result<String> {
        let mut child = install::clean_command(&self.bin.join("psql"))
            .args(["-AtXq", "-v", "ON_ERROR_STOP=1", "-f", "-", "-U", USER, "-d", database])
            .arg("-h")
            .arg(&self.dir)
            .args(["-p", &self.port.to_string()])
            .env("PGCLIENTENCODING", "UTF8")
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        // Written from a thread: psql may print more than a pipe holds before it has read all.
        let mut stdin = child.stdin.take().ok_or_else(|| io::Error::other("psql has no stdin"))?;
        let out = std::thread::scope(|scope| {
            // A failed write means that psql ended early; its own message says why.
            scope.spawn(move || stdin.write_all(sql.as_bytes()));
            child.wait_with_output()
        })?;
        if out.status.success() {
            Ok(String::from_utf8_lossy(&out.stdout).into_owned())
        } else {
            Err(io::Error::other(String::from_utf8_lossy(&out.stderr).trim().to_owned()))
        }
    }

    /// Stops the server at once, as a crash would (`immediate`): the next start recovers from WAL.
    ///
    /// # Errors
    /// The supervisor could not be told or waited for.
    pub fn stop_hard(&mut self) -> io::Result<()> {
        let Some(mut supervisor) = self.supervisor.take() else { return Ok(()) };
        if let Some(mut stdin) = supervisor.stdin.take() {
            stdin.write_all(b"stop\n")?;
        }
        supervisor.wait()?;
        Ok(())
    }

    /// Starts a stopped server again, on the same port; stops it hard first if it runs.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn restart(&mut self) -> io::Result<()> {
        self.stop_hard()?;
        self.launch()
    }

    fn init(&self) -> io::Result<()> {
        fs::create_dir(&self.dir)?;
        self.run_as.own(&self.dir)?;
        let out = self
            .run_as
            .command(&self.bin.join("initdb"), &self.dir)
            .args(["--no-sync", "--no-instructions", "-A", "trust", "-E", "UTF8"])
            .args(["--locale=C.UTF-8", "-U", USER, "-D", "data"])
            .stdin(Stdio::null())
            .output()?;
        if out.status.success() {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "initdb failed ({}): {}",
            out.status,
            String::from_utf8_lossy(&out.stderr).trim()
        )))
    }

    fn launch(&mut self) -> io::Result<()> {
        for stale in ["pid", "exit", "log"] {
            match fs::remove_file(self.dir.join(stale)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        let mut command = self.run_as.command(Path::new("/bin/sh"), &self.dir);
        command.args(["-c", SUPERVISOR, "sh"]).arg(&self.dir);
        self.server_arguments(&mut command);
        // A process group of its own, so that an interrupt at the terminal does not take the
        // supervisor before it has cleaned up.
        let child = command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        self.supervisor = Some(child);
        let outcome = self.wait_until_ready();
        if outcome.is_err() {
            self.stop_hard()?;
        }
        outcome
    }

    fn server_arguments(&self, command: &mut Command) {
        command.arg(self.bin.join("postgres")).args(["-D", "data", "-k"]).arg(&self.dir);
        command.args(["-p", &self.port.to_string()]);
        for (name, value) in &self.settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
    }

    /// The server writes `ready` into `postmaster.pid` when it takes connections.
    fn wait_until_ready(&self) -> io::Result<()> {
        let deadline = Instant::now() + START_DEADLINE;
        loop {
            let status = fs::read_to_string(self.data_dir().join("postmaster.pid"));
            let started = fs::read_to_string(self.dir.join("pid")).unwrap_or_default();
            if let Ok(status) = status
                && status.lines().next().map(str::trim) == Some(started.trim())
                && status.lines().nth(7).is_some_and(|line| line.trim() == "ready")
            {
                return Ok(());
            }
            if self.dir.join("exit").exists() {
                return Err(self.failed("PostgreSQL did not start"));
            }
            if Instant::now() > deadline {
                return Err(self.failed("PostgreSQL was not ready in time"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn failed(&self, what: &str) -> io::Error {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(20)..].join("\n");
        io::Error::other(format!("{what}; its log ends with:\n{tail}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut supervisor) = self.supervisor.take() {
            drop(supervisor.stdin.take());
            // Nothing can be done about a failure here, and the directory is temporary.
            let _ = supervisor.wait();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
