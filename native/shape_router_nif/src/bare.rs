//! Terms in two machine words, for reading what every call reads.
//!
//! A `Term` takes three words, of which one is only a byte long: what is passed on in memory in parts
//! of unequal size, and read there as a whole, keeps the processor waiting each time.

use rustler::sys::{
    ErlNifEnv, ErlNifTerm, enif_get_map_value, enif_inspect_binary, enif_is_map,
    enif_make_list_cell, enif_make_list_from_array, enif_make_uint64,
};
use rustler::{Atom, Env, Term};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

/// A term of a call's environment.
#[derive(Clone, Copy)]
pub(crate) struct Bare<'t> {
    env: NonNull<ErlNifEnv>,
    term: ErlNifTerm,
    /// Invariant, as `Term` is.
    of: PhantomData<Term<'t>>,
}

impl<'t> Bare<'t> {
    #[inline(always)]
    pub fn new(term: Term<'t>) -> Self {
        // SAFETY: every `Env` is made of an environment that the VM gave, which is never null.
        let env = unsafe { NonNull::new_unchecked(term.get_env().as_c_arg()) };
        Self { env, term: term.as_c_arg(), of: PhantomData }
    }

    /// `[]`.
    #[inline(always)]
    fn empty_list(self) -> Self {
        // SAFETY: of an array of no terms nothing is read.
        self.with(unsafe { enif_make_list_from_array(self.env.as_ptr(), std::ptr::dangling(), 0) })
    }

    /// The word that stands for the term.
    #[inline(always)]
    pub fn word(self) -> ErlNifTerm {
        self.term
    }

    /// An atom, as a term of the same call.
    pub fn atom(self, atom: Atom) -> Self {
        self.with(atom.as_c_arg())
    }

    #[inline(always)]
    pub fn is(self, atom: Atom) -> bool {
        self.term == atom.as_c_arg()
    }

    fn with(self, term: ErlNifTerm) -> Self {
        Self { term, ..self }
    }

    /// As others know it.
    #[inline]
    pub fn term(self) -> Term<'t> {
        // SAFETY: the term is one of this environment.
        unsafe { Term::new(self.env(), self.term) }
    }

    /// The environment, for what is not read here.
    pub fn env(self) -> Env<'t> {
        const ANY: &() = &();
        // SAFETY: the environment is known under the lifetime `'t`, and no other is: it comes from an
        // `Env<'t>`.
        unsafe { Env::new(ANY, self.env.as_ptr()) }
    }

    #[inline(always)]
    pub fn is_map(self) -> bool {
        // SAFETY: the term is one of this environment, or an atom.
        unsafe { enif_is_map(self.env.as_ptr(), self.term) != 0 }
    }

    /// The value under a key; none where there is none, or this is no map.
    #[inline(always)]
    pub fn get(self, key: Atom) -> Option<Self> {
        // SAFETY: an atom belongs to every environment.
        unsafe { self.get_by(key.as_c_arg()) }
    }

    /// The value under a key.
    ///
    /// # Safety
    /// The key is a term that is alive, of whatever environment.
    #[inline(always)]
    pub unsafe fn get_by(self, key: ErlNifTerm) -> Option<Self> {
        let mut value = MaybeUninit::uninit();
        // SAFETY: the map is a term of this environment; the key is compared with the map's own, and
        // kept nowhere. Where 1 is returned the value is written, a term of the map.
        unsafe {
            if enif_get_map_value(self.env.as_ptr(), self.term, key, value.as_mut_ptr()) == 0 {
                return None;
            }
            Some(self.with(value.assume_init()))
        }
    }

    /// The bytes of a binary.
    #[inline(always)]
    pub fn bytes(self) -> Option<&'t [u8]> {
        let mut binary = MaybeUninit::uninit();
        // SAFETY: where 1 is returned `binary` is written, and says where the bytes lie that the term
        // keeps as long as its environment lives; they do not change. An empty one may lie nowhere.
        unsafe {
            if enif_inspect_binary(self.env.as_ptr(), self.term, binary.as_mut_ptr()) == 0 {
                return None;
            }
            let binary = binary.assume_init();
            if binary.size == 0 {
                return Some(&[]);
            }
            Some(std::slice::from_raw_parts(binary.data, binary.size))
        }
    }

    /// A list of numbers, the last of which comes first; in the environment of this term.
    #[inline(always)]
    pub fn list(self, numbers: impl Iterator<Item = u64>) -> Self {
        let (env, mut list) = (self.env.as_ptr(), self.empty_list());
        for number in numbers {
            // SAFETY: both terms are of this environment.
            let cell =
                unsafe { enif_make_list_cell(env, enif_make_uint64(env, number), list.term) };
            list = list.with(cell);
        }
        list
    }
}
