//! A storage that fails at a chosen step, and counts the steps, so that a test can choose each.

use std::any::Any;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Error;
use crate::storage::{
    HeldLock, Mapped, ReadAt, Storage, StorageFile, SyncFile, Transfer, io_error,
};

/// A step that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// [`Storage::create`].
    Create,
    /// [`StorageFile::write_all`].
    Write,
    /// [`StorageFile::preallocate`].
    Preallocate,
    /// [`StorageFile::sync`], [`SyncFile::sync`], [`Storage::sync_file`] and
    /// [`Storage::sync_all_within`].
    Sync,
    /// [`Storage::append`].
    Append,
    /// [`Storage::open`].
    Open,
    /// [`ReadAt::read_exact_at`].
    Read,
    /// [`Storage::map`].
    Map,
    /// [`Storage::rename`].
    Rename,
    /// [`Storage::remove`] and [`Storage::remove_subdirectory`].
    Remove,
    /// [`Storage::link_into`].
    Link,
    /// [`Storage::list`] and [`Storage::subdirectories`].
    List,
    /// [`Storage::subdirectory`].
    Subdirectory,
    /// [`Storage::sync_directory`].
    SyncDirectory,
    /// [`Storage::lock`].
    Lock,
}

/// What a failing step has done when it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Nothing,
    /// Half of it: of a write the first half of the bytes. Other steps do nothing.
    Half,
    /// All of it: only the answer was lost.
    All,
}

/// Which step fails, and how.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// The number of the step from the arming on, starting at 1; steps of other kinds than
    /// [`Fault::only`] are not counted.
    pub nth: u64,
    /// The only kind of step that counts, or every kind.
    pub only: Option<Operation>,
    /// What the step has done.
    pub effect: Effect,
    /// Whether every later step (of that kind) fails too.
    pub lasting: bool,
}

impl Fault {
    /// The `nth` step of any kind fails without having done anything, and no other.
    #[must_use]
    pub fn nth(nth: u64) -> Self {
        Self { nth, only: None, effect: Effect::Nothing, lasting: false }
    }
}

/// The steps taken and the failures to come. Shared by all wrappers that were made with it.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    steps: Vec<(Operation, String)>,
    armed: Option<(Fault, u64)>,
    fired: u64,
    space: Option<u64>,
}

impl Faults {
    /// Nothing fails yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Arms a fault in place of the one before.
    pub fn arm(&self, fault: Fault) {
        self.state().armed = Some((fault, 0));
    }

    /// From now on nothing fails.
    pub fn disarm(&self) {
        let mut state = self.state();
        state.armed = None;
        state.space = None;
    }

    /// The disk has `bytes` bytes left; what does not fit is written as far as it does, and fails.
    pub fn limit_space(&self, bytes: u64) {
        self.state().space = Some(bytes);
    }

    /// How many steps were taken, those that failed too.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state().steps.len() as u64
    }

    /// How many steps of that kind were taken.
    #[must_use]
    pub fn count(&self, operation: Operation) -> u64 {
        self.state().steps.iter().filter(|step| step.0 == operation).count() as u64
    }

    /// The steps taken, with the file each was about.
    #[must_use]
    pub fn steps(&self) -> Vec<(Operation, String)> {
        self.state().steps.clone()
    }

    /// How often something failed.
    #[must_use]
    pub fn fired(&self) -> u64 {
        self.state().fired
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a step; says what it has to have done where it must fail.
    fn step(&self, operation: Operation, name: &str) -> Option<Effect> {
        let mut state = self.state();
        state.steps.push((operation, name.to_owned()));
        let (fault, seen) = state.armed.as_mut()?;
        if fault.only.is_some_and(|only| only != operation) {
            return None;
        }
        *seen += 1;
        let fails = *seen == fault.nth || (fault.lasting && *seen > fault.nth);
        let effect = fault.effect;
        if !fails {
            return None;
        }
        state.fired += 1;
        Some(effect)
    }

    /// Takes up to `bytes` bytes of the space that is left; returns how many there were.
    fn take_space(&self, bytes: u64) -> u64 {
        let mut state = self.state();
        let Some(space) = state.space.as_mut() else { return bytes };
        let taken = bytes.min(*space);
        *space -= taken;
        if taken < bytes {
            state.fired += 1;
        }
        taken
    }
}

/// Wraps a storage; fails when its [`Faults`] say so.
pub struct FaultStorage {
    inner: Arc<dyn Storage>,
    faults: Faults,
}

impl FaultStorage {
    /// Wraps `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Storage>, faults: Faults) -> Self {
        Self { inner, faults }
    }

    /// What decides about failures.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    fn step<T>(
        &self,
        operation: Operation,
        name: &str,
        action: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        run(&self.faults, operation, name, action)
    }
}

impl FaultStorage {
    fn written_file(
        &self,
        inner: Box<dyn StorageFile>,
        name: &str,
        written: u64,
    ) -> Box<dyn StorageFile> {
        Box::new(FaultFile {
            inner,
            faults: self.faults.clone(),
            name: name.to_owned(),
            written,
            allocated: written,
            lost: Arc::default(),
        })
    }
}

fn run<T>(
    faults: &Faults,
    operation: Operation,
    name: &str,
    action: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    match faults.step(operation, name) {
        None => action(),
        Some(effect) => {
            if effect == Effect::All {
                // Whether it could be done no longer matters: the answer is lost.
                drop(action());
            }
            Err(injected(operation, name))
        }
    }
}

fn injected(operation: Operation, name: &str) -> Error {
    let what = match operation {
        Operation::Create => "create",
        Operation::Write => "write",
        Operation::Preallocate => "allocate",
        Operation::Sync => "sync",
        Operation::Append | Operation::Open => "open",
        Operation::Subdirectory => "create the directory",
        Operation::Read => "read",
        Operation::Map => "map",
        Operation::Rename => "rename",
        Operation::Remove => "remove",
        Operation::Link => "link",
        Operation::List => "list",
        Operation::SyncDirectory => "sync the directory",
        Operation::Lock => "lock",
    };
    io_error(what, name, io::Error::other("injected failure"))
}

fn disk_full(operation: &'static str, name: &str) -> Error {
    io_error(operation, name, ErrorKind::StorageFull.into())
}

impl Storage for FaultStorage {
    fn create(&self, name: &str) -> Result<Box<dyn StorageFile>, Error> {
        let inner = self.step(Operation::Create, name, || self.inner.create(name))?;
        Ok(self.written_file(inner, name, 0))
    }

    fn append(&self, name: &str, length: u64) -> Result<Box<dyn StorageFile>, Error> {
        let inner = self.step(Operation::Append, name, || self.inner.append(name, length))?;
        Ok(self.written_file(inner, name, length))
    }

    fn open(&self, name: &str) -> Result<Box<dyn ReadAt>, Error> {
        let inner = self.step(Operation::Open, name, || self.inner.open(name))?;
        Ok(Box::new(FaultRead { inner, faults: self.faults.clone(), name: name.to_owned() }))
    }

    fn map(&self, name: &str, mmap: bool) -> Result<Box<dyn Mapped>, Error> {
        self.step(Operation::Map, name, || self.inner.map(name, mmap))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), Error> {
        self.step(Operation::Rename, to, || self.inner.rename(from, to))
    }

    fn remove(&self, name: &str) -> Result<(), Error> {
        self.step(Operation::Remove, name, || self.inner.remove(name))
    }

    fn link_into(
        &self,
        name: &str,
        target: &dyn Storage,
        target_name: &str,
    ) -> Result<Transfer, Error> {
        self.step(Operation::Link, name, || self.inner.link_into(name, target, target_name))
    }

    fn list(&self) -> Result<Vec<String>, Error> {
        self.step(Operation::List, ".", || self.inner.list())
    }

    fn sync_file(&self, name: &str) -> Result<(), Error> {
        self.step(Operation::Sync, name, || self.inner.sync_file(name))
    }

    fn sync_directory(&self) -> Result<(), Error> {
        self.step(Operation::SyncDirectory, ".", || self.inner.sync_directory())
    }

    fn sync_all_within(&self) -> Result<bool, Error> {
        self.step(Operation::Sync, ".", || self.inner.sync_all_within())
    }

    fn subdirectory(&self, name: &str) -> Result<Arc<dyn Storage>, Error> {
        let inner = self.step(Operation::Subdirectory, name, || self.inner.subdirectory(name))?;
        Ok(Arc::new(Self { inner, faults: self.faults.clone() }))
    }

    fn subdirectories(&self) -> Result<Vec<String>, Error> {
        self.step(Operation::List, ".", || self.inner.subdirectories())
    }

    fn remove_subdirectory(&self, name: &str) -> Result<(), Error> {
        self.step(Operation::Remove, name, || self.inner.remove_subdirectory(name))
    }

    fn lock(&self) -> Result<Box<dyn HeldLock>, Error> {
        self.step(Operation::Lock, ".", || self.inner.lock())
    }

    fn as_any(&self) -> &dyn Any {
        self.inner.as_any()
    }
}

struct FaultFile {
    inner: Box<dyn StorageFile>,
    faults: Faults,
    name: String,
    written: u64,
    allocated: u64,
    /// Set when a sync failed. As on Linux, later syncs then succeed without having written what
    /// the failed one did not: whoever trusts them loses data.
    lost: Arc<AtomicBool>,
}

impl StorageFile for FaultFile {
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let effect = self.faults.step(Operation::Write, &self.name);
        let size = bytes.len() as u64;
        // What is allocated already takes no more space.
        let beyond = (self.written + size).saturating_sub(self.allocated.max(self.written));
        let space = self.faults.take_space(beyond);
        let fits = size - (beyond - space);
        let kept = match effect {
            None | Some(Effect::All) => fits,
            Some(Effect::Half) => fits.min(size / 2),
            Some(Effect::Nothing) => 0,
        };
        self.inner.write_all(&bytes[..kept as usize])?;
        self.written += kept;
        if effect.is_some() {
            return Err(injected(Operation::Write, &self.name));
        }
        if kept < size { Err(disk_full("write", &self.name)) } else { Ok(()) }
    }

    fn preallocate(&mut self, bytes: u64) -> Result<(), Error> {
        let faults = self.faults.clone();
        run(&faults, Operation::Preallocate, &self.name, || {
            let more = bytes.saturating_sub(self.allocated.max(self.written));
            if faults.take_space(more) < more {
                return Err(disk_full("allocate", &self.name));
            }
            self.allocated = self.allocated.max(bytes);
            self.inner.preallocate(bytes)
        })
    }

    fn sync(&mut self) -> Result<(), Error> {
        sync(&self.faults, &self.name, &self.lost, || self.inner.sync())
    }

    fn syncer(&self) -> Result<Box<dyn SyncFile>, Error> {
        Ok(Box::new(FaultSync {
            inner: self.inner.syncer()?,
            faults: self.faults.clone(),
            name: self.name.clone(),
            lost: Arc::clone(&self.lost),
        }))
    }
}

fn sync(
    faults: &Faults,
    name: &str,
    lost: &AtomicBool,
    action: impl FnOnce() -> Result<(), Error>,
) -> Result<(), Error> {
    let result = run(faults, Operation::Sync, name, || {
        if lost.load(Ordering::Acquire) { Ok(()) } else { action() }
    });
    if result.is_err() {
        lost.store(true, Ordering::Release);
    }
    result
}

struct FaultSync {
    inner: Box<dyn SyncFile>,
    faults: Faults,
    name: String,
    lost: Arc<AtomicBool>,
}

impl SyncFile for FaultSync {
    fn sync(&self) -> Result<(), Error> {
        sync(&self.faults, &self.name, &self.lost, || self.inner.sync())
    }
}

struct FaultRead {
    inner: Box<dyn ReadAt>,
    faults: Faults,
    name: String,
}

impl ReadAt for FaultRead {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), Error> {
        run(&self.faults, Operation::Read, &self.name, || self.inner.read_exact_at(buffer, offset))
    }

    fn len(&self) -> u64 {
        self.inner.len()
    }
}
