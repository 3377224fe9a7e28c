//! Calls where every nanosecond counts: without the list on the heap that arguments are otherwise
//! collected in, and without a search for the type of the resource.
//!
//! All that is unsafe about them is here: the functions that the VM calls, and the resource that a
//! router is for Erlang.

use crate::bare::Bare;
use crate::handle::RouterHandle;
use rustler::codegen_runtime::c_int;
use rustler::sys::{
    ErlNifEnv, ErlNifResourceDtor, ErlNifResourceFlags, ErlNifResourceType, ErlNifResourceTypeInit,
    ErlNifTerm, ErlNifTimeUnit, enif_alloc_resource, enif_get_resource, enif_init_resource_type,
    enif_make_badarg, enif_make_resource, enif_monotonic_time, enif_raise_exception,
    enif_release_resource,
};
use rustler::{Decoder, Encoder, Env, Error, Term};
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// The type of the resource that a router is: set when the library is loaded, before any call.
static ROUTER: AtomicPtr<ErlNifResourceType> = AtomicPtr::new(ptr::null_mut());

/// What the VM keeps of a router: a `RouterHandle` of `Box::into_raw`.
type Held = *mut RouterHandle;

/// Makes the type of routers known to the VM; only while the library is being loaded. False where the
/// VM refuses.
pub(crate) fn register(env: Env<'_>) -> bool {
    let init = ErlNifResourceTypeInit {
        dtor: drop_router as *const ErlNifResourceDtor,
        stop: ptr::null(),
        down: ptr::null(),
        members: 1,
        dyncall: ptr::null(),
    };
    let mut tried = MaybeUninit::uninit();
    // SAFETY: `env` is that of the call that loads the library, the name ends with a zero byte, and
    // `init` says that of its members only the first one counts: a destructor for the resources that
    // `encode` makes. The VM copies both.
    let made = unsafe {
        enif_init_resource_type(
            env.as_c_arg(),
            c"ShapeRouter.Router".as_ptr(),
            &init,
            ErlNifResourceFlags::ERL_NIF_RT_CREATE,
            tried.as_mut_ptr(),
        )
    };
    ROUTER.store(made.cast_mut(), Ordering::Release);
    !made.is_null()
}

/// # Safety
/// The VM calls it, once for each resource of the type, when no term refers to it any more.
unsafe extern "C" fn drop_router(_env: *mut ErlNifEnv, resource: *mut c_void) {
    // SAFETY: the resource is one of `encode`, which left a box's pointer in it; nobody else drops it.
    let router = unsafe { Box::from_raw(resource.cast::<Held>().read()) };
    // A panic must not unwind into the VM; what is not dropped then is leaked.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(router)));
}

/// A router that goes to Erlang.
pub(crate) struct NewRouter(RouterHandle);

impl NewRouter {
    pub fn new(router: RouterHandle) -> Self {
        Self(router)
    }

    /// The router as a term; it lives as long as a term refers to it.
    pub fn into_term(self, env: Env<'_>) -> Term<'_> {
        let held: Held = Box::into_raw(Box::new(self.0));
        // SAFETY: the type was made when the library was loaded. The resource is as large and as much
        // aligned as a pointer, which is written before a term can refer to it. The term keeps the
        // resource; the reference that the allocation gave is let go of.
        unsafe {
            let resource = enif_alloc_resource(ROUTER.load(Ordering::Acquire), size_of::<Held>());
            resource.cast::<Held>().write(held);
            let term = enif_make_resource(env.as_c_arg(), resource);
            enif_release_resource(resource);
            Term::new(env, term)
        }
    }
}

impl<'a> Decoder<'a> for &'a RouterHandle {
    #[inline]
    fn decode(term: Term<'a>) -> Result<Self, Error> {
        let mut resource = MaybeUninit::uninit();
        // SAFETY: the VM writes the resource's place where the term is a resource of this type, and
        // returns 0 where it is none. Of this type are those of `into_term` alone, whose pointer is
        // that of a box which is dropped with the resource. That lives as long as the term's
        // environment, of which `'a` is the lifetime, and only shared references to it are made.
        unsafe {
            let kind = ROUTER.load(Ordering::Relaxed);
            let env = term.get_env().as_c_arg();
            if enif_get_resource(env, term.as_c_arg(), kind, resource.as_mut_ptr()) == 0 {
                return Err(Error::BadArg);
            }
            Ok(&**resource.assume_init().cast::<Held>())
        }
    }
}

/// Runs a function of `N` arguments for the VM. A panic is raised as `:nif_panicked`, `None` as
/// `:badarg`.
///
/// # Safety
/// To be called by the VM, as the function of a NIF of this arity.
#[inline(always)]
pub(crate) unsafe fn call<const N: usize>(
    env: *mut ErlNifEnv,
    arguments: *const ErlNifTerm,
    function: impl for<'a> FnOnce(Env<'a>, [Term<'a>; N]) -> Option<Bare<'a>>,
) -> ErlNifTerm {
    let lifetime = ();
    // SAFETY: the environment is that of this call, which `lifetime` outlasts, and has no other `Env`.
    // The VM gives as many arguments as the NIF's arity says, all of this environment.
    let (env, arguments) = unsafe {
        let env = Env::new(&lifetime, env);
        (env, std::array::from_fn(|n| Term::new(env, *arguments.add(n))))
    };
    // What a panic leaves behind is as with any NIF: see `RefUnwindSafe` of what Erlang holds.
    match catch_unwind(AssertUnwindSafe(|| function(env, arguments))) {
        Ok(Some(term)) => term.word(),
        // SAFETY: the environment is that of this call, and what is returned goes to the VM at once.
        Ok(None) => unsafe { enif_make_badarg(env.as_c_arg()) },
        Err(_) => {
            let panicked = rustler::types::atom::nif_panicked().encode(env);
            // SAFETY: as above.
            unsafe { enif_raise_exception(env.as_c_arg(), panicked.as_c_arg()) }
        }
    }
}

/// Erlang's monotonic time, in nanoseconds.
#[cold]
pub(crate) fn monotonic_time(_env: Env<'_>) -> i64 {
    // SAFETY: it has no conditions on the threads that Erlang calls NIFs in, as the `Env` shows this to
    // be one of.
    unsafe { enif_monotonic_time(ErlNifTimeUnit::ERL_NIF_NSEC) }
}

/// The type of the functions that the VM calls.
pub(crate) type Count = c_int;

/// Declares a NIF on the normal scheduler: `direct_nif!("name"/arity, function)`. The function gets the
/// environment and an array of the arguments.
macro_rules! direct_nif {
    ($name:literal / $arity:literal, $function:path) => {
        const _: () = {
            /// # Safety
            /// The VM calls it.
            unsafe extern "C" fn call(
                env: *mut rustler::sys::ErlNifEnv,
                _count: $crate::direct::Count,
                arguments: *const rustler::sys::ErlNifTerm,
            ) -> rustler::sys::ErlNifTerm {
                // SAFETY: the VM calls this, for a NIF that is declared with this arity below.
                unsafe { $crate::direct::call::<$arity>(env, arguments, $function) }
            }
            rustler::codegen_runtime::inventory::submit!(rustler::Nif {
                name: concat!($name, "\0").as_ptr().cast(),
                arity: $arity,
                flags: 0,
                raw_func: call,
            });
        };
    };
}
pub(crate) use direct_nif;
