//! Large blocks straight from the operating system.
//!
//! Indexes consist of a few large blocks that are built, replaced and freed. An allocator that keeps
//! large blocks in its heap, as glibc's does once it has seen one freed, keeps the holes that they leave
//! as well: with a million shapes half of the process was holes. Blocks of a page or of a few, which come
//! and go all the time, are the system allocator's business as before.

use std::alloc::{GlobalAlloc, Layout, System};

/// Blocks of so many bytes are mapped.
const LARGE: usize = 128 << 10;
/// What every mapping is aligned to, at least.
const PAGE: usize = 4096;
/// A large page. Blocks of so many bytes lie in large pages where the system has them: random reads in
/// small ones take as long to find the page as to read the memory.
#[cfg(target_os = "linux")]
const HUGE_PAGE: usize = 2 << 20;

/// The system's allocator for small blocks; large ones are mapped, and unmapped when they are freed, so
/// that what a process has is what it uses. On systems other than Linux it is the system's for all.
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: lane_index::Allocator = lane_index::Allocator;
///
/// let large = vec![1_u8; 1 << 20];
/// assert_eq!(large.iter().filter(|&&byte| byte == 1).count(), 1 << 20);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Allocator;

fn is_mapped(layout: Layout) -> bool {
    cfg!(target_os = "linux") && layout.size() >= LARGE && layout.align() <= PAGE
}

// SAFETY: a block's layout says where it came from, the same in each of the functions. Mapped blocks are
// aligned to a page, which `is_mapped` has compared with the layout's alignment, and are as large as
// their layout says or larger, up to the end of a page. Nothing here unwinds.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_mapped(layout) {
            return system::map(layout.size());
        }
        // SAFETY: the caller's duties are the same.
        unsafe { System.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_mapped(layout) {
            // New pages are zero.
            return system::map(layout.size());
        }
        // SAFETY: the caller's duties are the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if is_mapped(layout) {
            // SAFETY: the block is one of `map` or `remap`, of this size, and nobody uses it any more.
            return unsafe { system::unmap(block, layout.size()) };
        }
        // SAFETY: the caller's duties are the same; the block is one of the system's.
        unsafe { System.dealloc(block, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller guarantees that the size, rounded up to the alignment, is no overflow.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (is_mapped(layout), is_mapped(new)) {
            // SAFETY: the caller's duties are the same; the block is one of the system's.
            (false, false) => unsafe { System.realloc(block, layout, size) },
            // SAFETY: the block is one of `map` or `remap`, of the old size.
            (true, true) => unsafe { system::remap(block, layout.size(), size) },
            // SAFETY: both blocks have the bytes that are copied, and do not overlap, since both are
            // allocated; the old one is freed only once they are over.
            _ => unsafe {
                let moved = self.alloc(new);
                if !moved.is_null() {
                    std::ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                    self.dealloc(block, layout);
                }
                moved
            },
        }
    }
}

#[cfg(target_os = "linux")]
mod system {
    use super::{HUGE_PAGE, PAGE};
    use rustix::mm::{
        Advice, MapFlags, MremapFlags, ProtFlags, madvise, mmap_anonymous, mremap, munmap,
    };
    use std::ptr;

    /// A new mapping; null where there is no memory.
    pub(super) fn map(size: usize) -> *mut u8 {
        if size >= HUGE_PAGE { map_huge(size) } else { map_some(size) }
    }

    /// One that begins at a large page.
    #[cold]
    fn map_huge(size: usize) -> *mut u8 {
        let size = size.next_multiple_of(PAGE);
        let Some(room) = size.checked_add(HUGE_PAGE - PAGE) else { return ptr::null_mut() };
        let mapped = map_some(room);
        if mapped.is_null() {
            return mapped;
        }
        let before = mapped.align_offset(HUGE_PAGE).min(room - size);
        // SAFETY: both parts lie within the new mapping, on both sides of the block, in whole pages. The
        // advice does not change what is read from the block.
        unsafe {
            let block = mapped.add(before);
            if before > 0 {
                unmap(mapped, before);
            }
            if room - size > before {
                unmap(block.add(size), room - size - before);
            }
            // It is as good without.
            let _refused = madvise(block.cast(), size, Advice::LinuxHugepage);
            block
        }
    }

    fn map_some(size: usize) -> *mut u8 {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the system chooses the address, so that no mapping that there is changes.
        let mapped = unsafe { mmap_anonymous(ptr::null_mut(), size, access, MapFlags::PRIVATE) };
        mapped.map_or(ptr::null_mut(), <*mut _>::cast)
    }

    /// # Safety
    /// The block is a mapping of this module, of this size, and nobody uses it any more.
    pub(super) unsafe fn unmap(block: *mut u8, size: usize) {
        // It fails only where a mapping would have to be split and the system allows no more of them:
        // then the memory is lost.
        // SAFETY: the caller's duties.
        let _lost = unsafe { munmap(block.cast(), size) }.is_err();
    }

    /// # Safety
    /// The block is a mapping of this module, of this size; only what is returned is used from now on,
    /// unless that is null.
    pub(super) unsafe fn remap(block: *mut u8, old: usize, new: usize) -> *mut u8 {
        // SAFETY: the caller's duties.
        let moved = unsafe { mremap(block.cast(), old, new, MremapFlags::MAYMOVE) };
        moved.map_or(ptr::null_mut(), <*mut _>::cast)
    }
}

/// Never called: nothing is mapped.
#[cfg(not(target_os = "linux"))]
mod system {
    pub(super) fn map(_: usize) -> *mut u8 {
        std::ptr::null_mut()
    }
    /// # Safety
    /// None is needed: it does nothing.
    pub(super) unsafe fn unmap(_: *mut u8, _: usize) {}
    /// # Safety
    /// None is needed: it does nothing.
    pub(super) unsafe fn remap(_: *mut u8, _: usize, _: usize) -> *mut u8 {
        std::ptr::null_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).expect("a layout")
    }

    /// Sizes on both sides of what is mapped.
    fn size() -> impl Strategy<Value = usize> {
        prop_oneof![
            1_usize..2000,
            LARGE - 3..LARGE + 3,
            LARGE..8 * LARGE,
            HUGE_PAGE - 3..HUGE_PAGE + PAGE + 3,
            HUGE_PAGE..3 * HUGE_PAGE,
        ]
    }

    proptest! {
        /// A block keeps its bytes however it grows and shrinks, and new ones are zero where asked for.
        #[test]
        fn blocks_keep_their_bytes(
            first in size(),
            sizes in prop::collection::vec(size(), 0..12),
            align in prop::sample::select(vec![1_usize, 16, 64, 4096, 8192]),
            zeroed in any::<bool>(),
        ) {
            let byte = |at: usize| (at % 251) as u8;
            let (allocator, mut size) = (Allocator, first);
            // SAFETY: the layouts are those that the blocks have, and no byte beyond them is touched.
            unsafe {
                let mut block = match zeroed {
                    true => allocator.alloc_zeroed(layout(size, align)),
                    false => allocator.alloc(layout(size, align)),
                };
                prop_assert!(!block.is_null());
                if zeroed {
                    prop_assert!((0..size).all(|at| block.add(at).read() == 0));
                }
                (0..size).for_each(|at| block.add(at).write(byte(at)));
                for next in sizes {
                    block = allocator.realloc(block, layout(size, align), next);
                    prop_assert!(!block.is_null() && (block as usize).is_multiple_of(align));
                    let kept = size.min(next);
                    prop_assert!((0..kept).all(|at| block.add(at).read() == byte(at)));
                    (0..next).for_each(|at| block.add(at).write(byte(at)));
                    size = next;
                }
                allocator.dealloc(block, layout(size, align));
            }
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_cannot_be_had_is_null() {
        let size = isize::MAX as usize - PAGE;
        // SAFETY: a null block is not used.
        assert!(unsafe { Allocator.alloc(layout(size, 16)) }.is_null());
    }
}
