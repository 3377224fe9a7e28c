//! Large frees happen on a thread of their own: never on the thread that serves a call.

use std::any::Any;
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

type Garbage = Box<dyn Any + Send>;

/// Drops a value later, elsewhere. If there is no thread for it, here and now.
pub(crate) fn dispose<T: Send + 'static>(value: T) {
    static REAPER: OnceLock<Option<Sender<Garbage>>> = OnceLock::new();
    let reaper = REAPER.get_or_init(|| {
        let (sender, receiver) = channel::<Garbage>();
        let thread = std::thread::Builder::new().name("shape-reaper".into());
        let spawned = thread.spawn(move || receiver.into_iter().for_each(drop));
        spawned.ok().map(|_| sender)
    });
    if let Some(sender) = reaper {
        // A value that the thread no longer takes comes back in the error and is dropped here.
        let _ = sender.send(Box::new(value));
    }
}
