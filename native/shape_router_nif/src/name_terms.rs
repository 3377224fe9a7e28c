//! Names as string terms that are made once: to look up in maps of any process.

use crate::bare::Bare;
use parking_lot::Mutex;
use rustler::sys::ErlNifTerm;
use rustler::{NewBinary, OwnedEnv, Term};

/// The terms, and the environment that keeps them.
pub(crate) struct NameTerms {
    raw: Vec<ErlNifTerm>,
    /// Only kept, never entered again: the lock is for the compiler, which cannot know that.
    _kept: Mutex<OwnedEnv>,
}

impl NameTerms {
    pub fn new<'n>(names: impl Iterator<Item = &'n str>) -> Self {
        let kept = OwnedEnv::new();
        let term = |name: &str| {
            kept.run(|env| Term::from(NewBinary::from_slice(env, name.as_bytes())).as_c_arg())
        };
        Self { raw: names.map(term).collect(), _kept: Mutex::new(kept) }
    }

    /// The value that a map has under a name.
    #[inline]
    pub fn get_from<'a>(&self, map: Bare<'a>, index: usize) -> Option<Bare<'a>> {
        let name = *self.raw.get(index)?;
        // SAFETY: the term was made in the environment that `self` keeps and nobody clears, so that its
        // memory outlives this call.
        unsafe { map.get_by(name) }
    }
}
