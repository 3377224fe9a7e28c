//! What a simulated disk holds, what of it is durable, and what a power cut leaves.

use std::collections::BTreeMap;
use std::ops::Range;

use fastrand::Rng;

/// What a disk writes at once. A write of several sectors can be cut between any two, and a sector
/// that was being written can hold anything; bytes outside of the written range are never touched.
const SECTOR: usize = 512;

#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    pub(super) inodes: Vec<Inode>,
    pub(super) folders: BTreeMap<String, Folder>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Inode {
    /// What a reader sees, and what is left when a process is killed.
    pub(super) data: Vec<u8>,
    /// How long the file is for certain after a power cut.
    durable_length: usize,
    /// What was written since the last sync, oldest first. Files are only ever appended to, so
    /// before each of them the bytes were zero or beyond the end.
    unsynced: Vec<Range<usize>>,
    /// What the file held when it was first cut since the last sync.
    before_cut: Option<Vec<u8>>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Folder {
    pub(super) entries: BTreeMap<String, usize>,
    /// Whether its own entry in the folder above may be lost.
    pub(super) fresh: bool,
    durable: BTreeMap<String, usize>,
    unsynced: Vec<Change>,
    pub(super) locked: bool,
}

#[derive(Debug, Clone)]
enum Change {
    Added { name: String, inode: usize },
    Removed { name: String, inode: usize },
    Renamed { from: String, to: String, inode: usize },
}

/// How much of a list of changes a power cut leaves.
enum Survivors {
    Nothing,
    Everything,
    Prefix,
    Some,
}

fn survivors(rng: &mut Rng) -> Survivors {
    match rng.u8(0..4) {
        0 => Survivors::Nothing,
        1 => Survivors::Everything,
        2 => Survivors::Prefix,
        _ => Survivors::Some,
    }
}

impl Inode {
    /// A file whose bytes are durable.
    pub(super) fn durable(data: Vec<u8>) -> Self {
        Self { durable_length: data.len(), data, unsynced: Vec::new(), before_cut: None }
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        let range = offset..offset + bytes.len();
        if self.data.len() < range.end {
            self.data.resize(range.end, 0);
        }
        self.data[range.clone()].copy_from_slice(bytes);
        if !range.is_empty() {
            self.unsynced.push(range);
        }
    }

    pub(super) fn extend(&mut self, length: usize) {
        if self.data.len() < length {
            self.data.resize(length, 0);
        }
    }

    /// Cuts what is beyond `length`.
    pub(super) fn cut(&mut self, length: usize) {
        if length < self.data.len() {
            self.before_cut.get_or_insert_with(|| self.data.clone());
            self.data.truncate(length);
            self.unsynced.retain_mut(|range| {
                range.end = range.end.min(length);
                range.start < range.end
            });
            self.durable_length = self.durable_length.min(length);
        }
    }

    pub(super) fn sync(&mut self) {
        self.durable_length = self.data.len();
        self.unsynced.clear();
        self.before_cut = None;
    }

    /// Leaves what a power cut leaves.
    fn crash(&mut self, rng: &mut Rng) {
        if let Some(before) = self.before_cut.take()
            && rng.u8(0..3) == 0
        {
            // Neither the cut nor anything behind it has reached the disk.
            let kept = rng.usize(self.durable_length..=before.len());
            self.data = before;
            self.data.truncate(kept);
            self.unsynced.clear();
            self.durable_length = kept;
            return;
        }
        let written = std::mem::take(&mut self.unsynced);
        let full = self.data.len();
        // How far the file is known to reach; a file system may also have noted the whole length.
        let mut end = self.durable_length;
        let kept = match survivors(rng) {
            Survivors::Nothing => 0,
            Survivors::Everything => written.len(),
            Survivors::Prefix | Survivors::Some => rng.usize(0..=written.len()),
        };
        let by_sector = rng.bool();
        for (number, range) in written.into_iter().enumerate() {
            if number < kept {
                end = end.max(range.end);
            } else if by_sector || number == kept {
                // The write that the power cut met, or pages written back in any order.
                end = end.max(self.tear(range, by_sector, rng));
            } else {
                self.data[range].fill(0);
            }
        }
        if rng.bool() {
            end = rng.usize(end..=full.max(end));
        }
        self.data.truncate(end);
        self.durable_length = end;
    }

    /// Tears one write; returns the end of what is left of it.
    fn tear(&mut self, range: Range<usize>, by_sector: bool, rng: &mut Rng) -> usize {
        let mut end = range.start;
        if !by_sector {
            // A prefix, to the byte; behind it zeros, or a sector of rubbish.
            let cut = rng.usize(range.clone());
            let mut rest = cut..range.end;
            end = cut;
            if rng.bool() {
                let rubbish = cut..range.end.min((cut / SECTOR + 1) * SECTOR);
                self.garble(rubbish.clone(), rng);
                end = rubbish.end;
                rest.start = rubbish.end;
            }
            self.data[rest].fill(0);
            return end;
        }
        let mut start = range.start;
        while start < range.end {
            let sector = start..range.end.min((start / SECTOR + 1) * SECTOR);
            start = sector.end;
            match rng.u8(0..8) {
                0..4 => end = sector.end,
                4 => {
                    self.garble(sector.clone(), rng);
                    end = sector.end;
                }
                _ => self.data[sector].fill(0),
            }
        }
        end
    }

    fn garble(&mut self, range: Range<usize>, rng: &mut Rng) {
        if rng.bool() && !range.is_empty() {
            let at = rng.usize(range);
            self.data[at] ^= 1 << rng.u8(0..8);
        } else {
            rng.fill(&mut self.data[range]);
        }
    }
}

impl Folder {
    pub(super) fn add(&mut self, name: &str, inode: usize) {
        self.entries.insert(name.to_owned(), inode);
        self.unsynced.push(Change::Added { name: name.to_owned(), inode });
    }

    pub(super) fn add_durably(&mut self, name: &str, inode: usize) {
        self.entries.insert(name.to_owned(), inode);
        self.durable.insert(name.to_owned(), inode);
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<usize> {
        let inode = self.entries.remove(name)?;
        self.unsynced.push(Change::Removed { name: name.to_owned(), inode });
        Some(inode)
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> Option<usize> {
        let inode = self.entries.remove(from)?;
        self.entries.insert(to.to_owned(), inode);
        self.unsynced.push(Change::Renamed { from: from.to_owned(), to: to.to_owned(), inode });
        Some(inode)
    }

    pub(super) fn sync(&mut self) {
        self.durable.clone_from(&self.entries);
        self.unsynced.clear();
    }

    /// Leaves what a power cut leaves: of the unsynced changes all, none, the first ones, or any;
    /// each of them whole.
    fn crash(&mut self, rng: &mut Rng) {
        let changes = std::mem::take(&mut self.unsynced);
        let what = survivors(rng);
        let prefix = rng.usize(0..=changes.len());
        for (number, change) in changes.into_iter().enumerate() {
            let survives = match what {
                Survivors::Nothing => false,
                Survivors::Everything => true,
                Survivors::Prefix => number < prefix,
                Survivors::Some => rng.bool(),
            };
            if survives {
                self.apply(change);
            }
        }
        self.entries.clone_from(&self.durable);
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Added { name, inode } => {
                self.durable.insert(name, inode);
            }
            Change::Removed { name, inode } => self.forget(&name, inode),
            Change::Renamed { from, to, inode } => {
                self.forget(&from, inode);
                self.durable.insert(to, inode);
            }
        }
    }

    fn forget(&mut self, name: &str, inode: usize) {
        if self.durable.get(name) == Some(&inode) {
            self.durable.remove(name);
        }
    }
}

impl Disk {
    /// Leaves what a power cut leaves.
    pub(super) fn crash(&mut self, rng: &mut Rng) {
        for inode in &mut self.inodes {
            inode.crash(rng);
        }
        for folder in self.folders.values_mut() {
            folder.crash(rng);
        }
        let lost = self.folders.iter().filter(|(_, folder)| folder.fresh && rng.bool());
        let lost: Vec<String> = lost.map(|(name, _)| name.clone()).collect();
        for name in lost {
            self.remove_folder(&name);
        }
        for folder in self.folders.values_mut() {
            folder.fresh = false;
        }
        self.unlock();
    }

    /// The folder of that name in another one.
    pub(super) fn folder_in(&mut self, parent: &str, name: &str) -> String {
        let path = format!("{parent}/{name}");
        let fresh = || Folder { fresh: true, ..Folder::default() };
        self.folders.entry(path.clone()).or_insert_with(fresh);
        path
    }

    /// The names of the folders in another one.
    pub(super) fn folders_in(&self, parent: &str) -> Vec<String> {
        let inside = self.folders.keys().filter_map(|path| path.strip_prefix(parent));
        let inside = inside.filter_map(|rest| rest.strip_prefix('/'));
        inside.filter(|name| !name.contains('/')).map(str::to_owned).collect()
    }

    /// Removes a folder and all in it; says whether it was there.
    pub(super) fn remove_folder(&mut self, path: &str) -> bool {
        let inside = format!("{path}/");
        self.folders.retain(|name, _| !name.starts_with(&inside));
        self.folders.remove(path).is_some()
    }

    /// All that is in a folder, and in those within, is there from now on.
    pub(super) fn sync_all_within(&mut self, path: &str) {
        let inside = format!("{path}/");
        let paths = self.folders.keys().filter(|name| *name == path || name.starts_with(&inside));
        let paths: Vec<String> = paths.cloned().collect();
        for path in paths {
            self.sync_folder(&path);
            let inodes: Vec<usize> = self.folders[&path].entries.values().copied().collect();
            inodes.into_iter().for_each(|inode| self.inodes[inode].sync());
        }
    }

    /// What is in a folder is there from now on, the folders too.
    pub(super) fn sync_folder(&mut self, path: &str) {
        if let Some(folder) = self.folders.get_mut(path) {
            folder.sync();
        }
        for name in self.folders_in(path) {
            if let Some(folder) = self.folders.get_mut(&format!("{path}/{name}")) {
                folder.fresh = false;
            }
        }
    }

    /// Nobody is left who could hold a lock.
    pub(super) fn unlock(&mut self) {
        for folder in self.folders.values_mut() {
            folder.locked = false;
        }
    }
}
