//! Telling a process from threads of the library. Those may be the VM's own, which must not send without
//! its environment, so a thread of its own does.

use crate::atoms;
use crate::error::NifError;
use parking_lot::{Condvar, Mutex};
use rustler::{Encoder, LocalPid, OwnedEnv};
use std::sync::Arc;

/// Tells one process what happened; what was not told yet is told as its newest.
#[derive(Clone)]
pub(crate) struct Notifier(Arc<Shared>);

#[derive(Default)]
struct Shared {
    news: Mutex<News>,
    changed: Condvar,
}

/// A chunk's number and its bytes; or why there is none.
type Sealed = Result<(u64, u64), String>;

#[derive(Default)]
struct News {
    durable: Option<u64>,
    /// Of which log, and what was sealed.
    sealed: Vec<(u64, Sealed)>,
    stopped: bool,
}

impl Notifier {
    pub fn start(pid: LocalPid) -> Result<Self, NifError> {
        let shared = Arc::new(Shared::default());
        let notifier = Self(Arc::clone(&shared));
        std::thread::Builder::new()
            .name("shape_log_notify".to_owned())
            .spawn(move || shared.run(pid))
            .map_err(|error| NifError::new("io_error", format!("no thread: {error}")))?;
        Ok(notifier)
    }

    /// Everything up to this LSN is durable.
    pub fn durable(&self, lsn: u64) {
        self.0.news.lock().durable = Some(lsn);
        self.0.changed.notify_one();
    }

    /// A chunk of a log was sealed, or could not be.
    pub fn sealed(&self, log: u64, chunk: Sealed) {
        self.0.news.lock().sealed.push((log, chunk));
        self.0.changed.notify_one();
    }

    /// The thread ends, when it has told what there was.
    pub fn stop(&self) {
        self.0.news.lock().stopped = true;
        self.0.changed.notify_one();
    }
}

impl Shared {
    fn run(&self, pid: LocalPid) {
        let mut env = OwnedEnv::new();
        loop {
            let mut news = self.news.lock();
            while news.durable.is_none() && news.sealed.is_empty() && !news.stopped {
                self.changed.wait(&mut news);
            }
            let News { durable, sealed, stopped } = std::mem::take(&mut *news);
            drop(news);
            if let Some(lsn) = durable {
                // Whoever is gone hears nothing.
                let _ = env.send_and_clear(&pid, |env| {
                    (atoms::shape_log(), (atoms::durable(), lsn)).encode(env)
                });
            }
            for (log, chunk) in sealed {
                let _ = env.send_and_clear(&pid, |env| match chunk {
                    Ok((seq, bytes)) => {
                        let news = (atoms::chunk_sealed(), log, seq, bytes);
                        (atoms::shape_log(), news).encode(env)
                    }
                    Err(message) => {
                        let news = (atoms::chunk_seal_failed(), log, message);
                        (atoms::shape_log(), news).encode(env)
                    }
                });
            }
            if stopped {
                return;
            }
        }
    }
}
