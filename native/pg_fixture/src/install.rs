//! Where PostgreSQL is installed, and as whom it may run.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The directory that holds `initdb`, `postgres` and `psql`.
pub(crate) fn bin_dir() -> io::Result<PathBuf> {
    let configured = Command::new("pg_config")
        .arg("--bindir")
        .output()
        .ok()
        .filter(|out| out.status.success())
        .map(|out| PathBuf::from(String::from_utf8_lossy(&out.stdout).trim()));
    configured.filter(|dir| is_complete(dir)).or_else(newest_of_debian).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::NotFound,
            "PostgreSQL's server programs (initdb, postgres, psql) were not found: neither \
             `pg_config --bindir` nor /usr/lib/postgresql/*/bin holds them. \
             On Debian or Ubuntu: apt-get install postgresql",
        )
    })
}

fn is_complete(dir: &Path) -> bool {
    ["initdb", "postgres", "psql"].iter().all(|program| dir.join(program).is_file())
}

/// Debian keeps each major version in a folder of its own and puts none of them on the PATH.
fn newest_of_debian() -> Option<PathBuf> {
    std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .flatten()
        .filter_map(|entry| {
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            let dir = entry.path().join("bin");
            is_complete(&dir).then_some((version, dir))
        })
        .max()
        .map(|(_, dir)| dir)
}

/// Who runs the server: PostgreSQL refuses to run as root.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RunAs {
    /// We are an ordinary user, and so is the server.
    Ourselves,
    /// We are root: the server gets the account that its package made.
    Account { uid: u32, gid: u32 },
}

impl RunAs {
    pub(crate) fn find() -> io::Result<RunAs> {
        if id(&["-u"])? != 0 {
            return Ok(RunAs::Ourselves);
        }
        let missing = |_| {
            io::Error::new(
                io::ErrorKind::NotFound,
                "PostgreSQL refuses to run as root, and there is no account `postgres` to run it as",
            )
        };
        Ok(RunAs::Account {
            uid: id(&["-u", "postgres"]).map_err(missing)?,
            gid: id(&["-g", "postgres"]).map_err(missing)?,
        })
    }

    /// A command that runs as this user, without the caller's PostgreSQL environment.
    pub(crate) fn command(self, program: &Path, dir: &Path) -> Command {
        let mut command = clean_command(program);
        command.current_dir(dir);
        if let RunAs::Account { uid, gid } = self {
            command.uid(uid).gid(gid).env("HOME", dir);
        }
        command
    }

    /// Gives `path` to this user.
    pub(crate) fn own(self, path: &Path) -> io::Result<()> {
        match self {
            RunAs::Ourselves => Ok(()),
            RunAs::Account { uid, gid } => std::os::unix::fs::chown(path, Some(uid), Some(gid)),
        }
    }
}

/// A command without `PGHOST`, `PGOPTIONS`, `PGSERVICE` and their like.
pub(crate) fn clean_command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("PG")) {
            command.env_remove(name);
        }
    }
    command
}

fn id(arguments: &[&str]) -> io::Result<u32> {
    let out = Command::new("id").args(arguments).output()?;
    String::from_utf8_lossy(&out.stdout).trim().parse().map_err(|_| {
        io::Error::other(format!(
            "`id {}` failed: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&out.stderr).trim()
        ))
    })
}
