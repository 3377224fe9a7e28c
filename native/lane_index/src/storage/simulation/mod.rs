//! Storages for tests: a disk that forgets what was not synced, and one that fails on command.
//!
//! ```
//! use lane_index::storage::Storage;
//! use lane_index::storage::simulation::SimDisk;
//!
//! # fn main() -> Result<(), lane_index::Error> {
//! let disk = SimDisk::new();
//! let directory = disk.directory("index");
//! let mut file = directory.create("kept")?;
//! file.write_all(b"synced")?;
//! file.sync()?;
//! directory.sync_directory()?;
//! directory.create("lost")?;
//!
//! for seed in 0..100 {
//!     let found = disk.crash(seed).directory("index");
//!     assert_eq!(&**found.map("kept", false)?, b"synced");
//!     // Without a sync of the directory it may be there or not.
//!     let _ = found.open("lost");
//! }
//! # Ok(())
//! # }
//! ```

mod disk;
mod fault;
mod sim;

pub use fault::{Effect, Fault, FaultStorage, Faults, Operation};
pub use sim::{SimDisk, SimStorage};
