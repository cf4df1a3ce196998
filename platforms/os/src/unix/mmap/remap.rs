//! Moving pages instead of copying them: Linux' `mremap`.
//!
//! *Role*: [`Mmap`](super::Mmap)'s `remap`.
//!
//! Pages that were moved make a mapping of their own, because the kernel goes on numbering them by where they were first. So the ranges that
//! hold such pages are counted, and when all [`MOST_MOVED`] are in use the next pages are copied. A range that its pages
//! have left is mapped anew, which makes it one with its neighbours again ([`renew`]).
//!
//! *Invariant* N1: a range changes only by who owns the memory that it gains or loses. So who finds a range inside memory of its own
//! may rely on it, whatever others do. Who owns a part of it claims it first.

cfg_if::cfg_if! {
    if #[cfg(all(target_os = "linux", not(miri)))] {
        use core::ffi::c_void;
        use core::ops::Range;
        use core::sync::atomic::{AtomicUsize, Ordering};

        use libc::MAP_FAILED;

        use super::super::errno::Errno;
        use super::super::os_page::page_size;
        use super::{FULL_ACCESS, map};

        /// What can be moved, in bytes: less is copied sooner.
        pub const REMAPS_FROM: usize = 1 << 20;

        /// How many ranges may hold moved pages at a time. The system gives a process 65,530 mappings, but for tools that list them, and
        /// for the kernel's own search, fewer are better.
        const MOST_MOVED: usize = 96;

        /// `start` of a range that somebody is about to use.
        const CLAIMED: usize = 1;

        /// The ranges that hold moved pages.
        #[derive(Debug)]
        pub struct MovedRanges {
            ranges: [MovedRange; MOST_MOVED],
        }

        /// `start` is 0 where there is none. Ranges do not overlap.
        #[derive(Debug)]
        struct MovedRange {
            start: AtomicUsize,
            size: AtomicUsize,
        }

        impl MovedRange {
            fn hold(&self, start: usize, size: usize) {
                self.size.store(size, Ordering::Relaxed);
                // Release pairs with the Acquire in `range` and `claim`.
                self.start.store(start, Ordering::Release);
            }

            /// Where it was a moment ago.
            fn range(&self) -> Range<usize> {
                // Acquire pairs with the Release in `hold`.
                let start = self.start.load(Ordering::Acquire);
                start..start.saturating_add(self.size.load(Ordering::Relaxed))
            }

            /// Keeps others from changing it, if it starts here.
            fn claim(&self, start: usize) -> bool {
                start != CLAIMED && self.start.compare_exchange(start, CLAIMED, Ordering::Acquire, Ordering::Relaxed).is_ok()
            }

            fn clear(&self) {
                self.size.store(0, Ordering::Relaxed);
                self.start.store(0, Ordering::Release);
            }
        }

        impl MovedRanges {
            /// None.
            pub const fn new() -> Self {
                let ranges = [const { MovedRange { start: AtomicUsize::new(0), size: AtomicUsize::new(0) } }; MOST_MOVED];
                MovedRanges { ranges }
            }

            /// Moves pages to a range of `room` bytes. A part that cannot be moved, or is too short to be worth it, is copied. False if nothing
            /// was moved.
            ///
            /// # Safety
            /// Whole pages of regions of ours that belong to the caller.
            pub unsafe fn move_pages(&self, from: *mut c_void, to: *mut c_void, size: usize, room: usize) -> bool {
                let (mut done, mut is_moved) = (0, false);
                while done < size {
                    // Either all of a range that holds moved pages, or what lies before the next one.
                    let rest = from.addr() + done..from.addr() + size;
                    let next = self.inside(&rest).min_by_key(|(_, range)| range.start);
                    let (held, end) = match next {
                        Some((held, range)) if range.start == rest.start => (Some(held), range.end),
                        Some((_, range)) => (None, range.start),
                        None => (None, rest.end),
                    };
                    let length = end - rest.start;
                    let room = if end == rest.end { room - done } else { length };
                    // SAFETY: parts of both ranges. What was not moved lies where it lay.
                    unsafe {
                        let (from, to) = (from.byte_add(done), to.byte_add(done));
                        if length >= REMAPS_FROM && self.move_part(held, from, to, length, room) {
                            is_moved = true;
                        } else if length == size {
                            return false;
                        } else {
                            to.cast::<u8>().copy_from_nonoverlapping(from.cast(), length);
                        }
                    }
                    done += length;
                }
                is_moved || size > 0
            }

            /// Moves all pages of the range `held`, or pages that lie in none.
            ///
            /// # Safety
            /// As for [`move_pages`](Self::move_pages).
            unsafe fn move_part(&self, held: Option<&MovedRange>, from: *mut c_void, to: *mut c_void, size: usize, room: usize) -> bool {
                let Some(target) = self.claim() else { return false };
                let Some(spare) = self.claim() else {
                    target.clear();
                    return false;
                };
                // What was moved in pieces once is copied, so that pieces do not become ever more.
                // SAFETY: the caller's promise.
                let is_moved = unsafe { move_mapping(from, to, size, room) || held.is_none() && move_halves(from, to, size, room) };
                if is_moved {
                    self.cut_out(to.addr()..to.addr() + room, spare);
                    target.hold(to.addr(), room);
                    if let Some(held) = held
                        // SAFETY: the caller's promise; the pages have left it.
                        && unsafe { renew(from, size) }
                    {
                        held.clear();
                    }
                }
                [target, spare].into_iter().filter(|claimed| claimed.range().start == CLAIMED).for_each(MovedRange::clear);
                is_moved
            }

            /// Takes memory that holds other pages now out of the range that it is a part of; what lies behind it becomes a range of its own.
            fn cut_out(&self, memory: Range<usize>, spare: &MovedRange) {
                for (held, range) in self.overlapping(&memory) {
                    if memory.end < range.end && range.start < memory.start {
                        spare.hold(memory.end, range.end - memory.end);
                    }
                    match () {
                        () if range.start < memory.start => held.hold(range.start, memory.start - range.start),
                        () if memory.end < range.end => held.hold(memory.end, range.end - memory.end),
                        () => held.clear(),
                    }
                }
            }

            /// The ranges that overlap with this one, which belongs to the caller; each is claimed.
            fn overlapping(&self, memory: &Range<usize>) -> impl Iterator<Item = (&MovedRange, Range<usize>)> {
                let memory = memory.clone();
                let overlaps = move |range: &Range<usize>| range.start < memory.end && memory.start < range.end;
                self.ranges.iter().filter_map(move |held| {
                    let seen = held.range();
                    if !overlaps(&seen) || !held.claim(seen.start) {
                        return None;
                    }
                    // Looked at again: now nobody changes it.
                    let range = seen.start..seen.start + held.size.load(Ordering::Relaxed);
                    if overlaps(&range) {
                        return Some((held, range));
                    }
                    held.hold(range.start, range.len());
                    None
                })
            }

            /// Maps what of these pages lies in a range that holds moved pages anew, if it is all of the range or an end of it.
            ///
            /// # Safety
            /// Whole pages of a region of ours whose contents nobody uses.
            pub unsafe fn give_up(&self, start: *mut c_void, size: usize) {
                let memory = start.addr()..start.addr() + size;
                for (held, range) in self.overlapping(&memory) {
                    let part = range.start.max(memory.start)..range.end.min(memory.end);
                    let is_end = part.start == range.start || part.end == range.end;
                    // SAFETY: the caller's promise.
                    let rest = match is_end && unsafe { renew(start.with_addr(part.start), part.len()) } {
                        true if part.start == range.start => part.end..range.end,
                        true => range.start..part.start,
                        false => range,
                    };
                    if rest.is_empty() { held.clear() } else { held.hold(rest.start, rest.len()) }
                }
            }

            /// Forgets the ranges inside this region, which is gone.
            pub fn forget(&self, start: usize, size: usize) {
                self.inside(&(start..start + size)).for_each(|(held, _)| held.clear());
            }

            /// The ranges inside this one, which belongs to the caller (N1).
            fn inside(&self, outer: &Range<usize>) -> impl Iterator<Item = (&MovedRange, Range<usize>)> {
                let outer = outer.clone();
                self.ranges.iter().filter_map(move |held| {
                    let range = held.range();
                    (outer.contains(&range.start) && range.end <= outer.end).then_some((held, range))
                })
            }

            fn claim(&self) -> Option<&MovedRange> {
                self.ranges.iter().find(|range| range.start.load(Ordering::Relaxed) == 0 && range.claim(0))
            }
        }

        /// Moves pages of several mappings, as at the border of huge pages, in parts. A short part that is still several is copied.
        ///
        /// # Safety
        /// As for [`MovedRanges::move_pages`].
        unsafe fn move_halves(from: *mut c_void, to: *mut c_void, size: usize, room: usize) -> bool {
            const COPIED: usize = 64 << 10;
            if !Errno::is(libc::EFAULT) || size <= COPIED {
                return false;
            }
            let half = (size / 2).next_multiple_of(page_size());
            for (part, room) in [(0..half, half), (half..size, room - half)] {
                // SAFETY: parts of both ranges. What could not be moved lies where it lay.
                unsafe {
                    let (from, to) = (from.byte_add(part.start), to.byte_add(part.start));
                    if !move_mapping(from, to, part.len(), room) && !move_halves(from, to, part.len(), room) {
                        to.cast::<u8>().copy_from_nonoverlapping(from.cast(), part.len());
                    }
                }
            }
            true
        }

        /// Moves pages of a single mapping in steps. One (`MREMAP_FIXED` from here to there) would do, but a kernel that then finds that `from` is
        /// no single mapping, or that there is no memory for a longer one, has unmapped `to` already, and another thread may map something there. A
        /// failure changes nothing.
        ///
        /// The mapping at `to` is as long as there is room: what the program writes behind the pages belongs to the same one.
        ///
        /// # Safety
        /// As for [`MovedRanges::move_pages`].
        unsafe fn move_mapping(from: *mut c_void, to: *mut c_void, size: usize, room: usize) -> bool {
            // SAFETY: the caller's promise.
            let Some(on_the_way) = (unsafe { move_away(from, size) }) else { return false };
            // SAFETY: a single mapping of our own, onto memory that belongs to the caller; if it is refused that is used by nobody else.
            unsafe {
                let grown = libc::mremap(on_the_way, size, room, libc::MREMAP_MAYMOVE);
                if grown == MAP_FAILED {
                    copy_and_unmap(on_the_way, to, size, size);
                } else {
                    move_onto(grown, to, room, size);
                }
            }
            true
        }

        /// Moves a mapping to where another one is, or copies the `used` bytes at its start and unmaps it.
        ///
        /// # Safety
        /// A single mapping of ours, `size` long as the other one, which belongs to the caller, who does not use its contents.
        unsafe fn move_onto(from: *mut c_void, to: *mut c_void, size: usize, used: usize) {
            // SAFETY: the caller's promise.
            unsafe {
                if libc::mremap(from, size, size, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED, to) == MAP_FAILED {
                    // Too many mappings, which is found out while `to` is still there; or the kernel has not a page left for its own lists: then
                    // it may be a hole, which this fills.
                    map(to, size, (FULL_ACCESS.0, FULL_ACCESS.1 | libc::MAP_FIXED_NOREPLACE));
                    copy_and_unmap(from, to, used, size);
                }
            }
        }

        /// Copies the first `used` bytes of a mapping of `size`, and unmaps it.
        ///
        /// # Safety
        /// Both ranges belong to the caller, who does not use the first one afterwards.
        unsafe fn copy_and_unmap(from: *mut c_void, to: *mut c_void, used: usize, size: usize) {
            // SAFETY: the caller's promise.
            unsafe {
                to.cast::<u8>().copy_from_nonoverlapping(from.cast(), used);
                libc::munmap(from, size);
            }
        }

        /// Moves pages of a single mapping to an address that the system picks. They stay mapped here, and read as zero.
        ///
        /// # Safety
        /// Whole pages of regions of ours that belong to the caller.
        unsafe fn move_away(from: *mut c_void, size: usize) -> Option<*mut c_void> {
            let keep_addresses = libc::MREMAP_MAYMOVE | libc::MREMAP_DONTUNMAP;
            // The plain system call, because some C libraries pass rubbish for the new address, which is here where to begin to look.
            // SAFETY: `from` stays mapped.
            let on_the_way = unsafe { libc::syscall(libc::SYS_mremap, from, size, size, keep_addresses, 0usize) };
            if on_the_way == -1 {
                return None;
            }
            if !is_mapped(from) {
                // QEMU does not know that `from` stays mapped, and refuses system calls that are to write there.
                map(from, size, (FULL_ACCESS.0, FULL_ACCESS.1 | libc::MAP_FIXED));
            }
            Some(core::ptr::with_exposed_provenance_mut(on_the_way as usize))
        }

        /// Maps pages anew, all zero, with whatever was asked for this memory. Whether they are a part of a neighbour's mapping now.
        ///
        /// A mapping that has no pages, and never had any, gets the numbers of where it is moved to. So it is moved away, which leaves one
        /// without pages, and that is moved away and back. A flag that neighbours do not have makes it a mapping of its own before, and a part
        /// of theirs after.
        ///
        /// # Safety
        /// Whole pages of regions of ours that belong to the caller, who does not use the contents.
        unsafe fn renew(start: *mut c_void, size: usize) -> bool {
            // SAFETY: the caller's promise; what is moved on the way is unmapped there, or moved back.
            unsafe {
                if libc::madvise(start, size, libc::MADV_DONTDUMP) != 0 {
                    return false;
                }
                if let Some(old) = move_away(start, size) {
                    libc::munmap(old, size);
                }
                if let Some(fresh) = move_away(start, size) {
                    move_onto(fresh, start, size, 0);
                }
                libc::madvise(start, size, libc::MADV_DODUMP);
            }
            let is_one = || !is_border(start) || !is_border(start.wrapping_byte_add(size));
            if cfg!(target_pointer_width = "64") && !is_one() {
                // What came from a region's end may have huge pages here, as its neighbours have.
                // SAFETY: says how to back it, and may be refused.
                unsafe { libc::madvise(start, size, libc::MADV_HUGEPAGE) };
            }
            is_one()
        }

        /// Whether a mapping ends and another begins here.
        fn is_border(at: *mut c_void) -> bool {
            let page = page_size();
            let before = at.wrapping_byte_sub(page);
            // Asks for one page more than the two around the border, without moving them. Other memory lies there; only whether they are one
            // mapping matters, which the system looks at first.
            // SAFETY: grows into what nobody has, if at all, and that goes at once.
            unsafe {
                if libc::mremap(before, 2 * page, 3 * page, 0) != MAP_FAILED {
                    libc::munmap(at.wrapping_byte_add(page), page);
                    return false;
                }
            }
            Errno::is(libc::EFAULT)
        }

        /// Whether the system knows this page.
        fn is_mapped(page: *mut c_void) -> bool {
            let mut is_resident = 0;
            // SAFETY: room for the answer about one page.
            unsafe { libc::mincore(page, page_size(), &mut is_resident) == 0 }
        }
    } else {
        /// Nothing can be moved.
        pub const REMAPS_FROM: usize = usize::MAX;

        /// There are none.
        #[derive(Debug)]
        pub struct MovedRanges;

        impl MovedRanges {
            pub const fn new() -> Self {
                MovedRanges
            }

            /// Never called.
            ///
            /// # Safety
            /// None is needed.
            pub unsafe fn move_pages(&self, _: *mut core::ffi::c_void, _: *mut core::ffi::c_void, _: usize, _: usize) -> bool {
                false
            }

            /// # Safety
            /// None is needed.
            pub unsafe fn give_up(&self, _: *mut core::ffi::c_void, _: usize) {}

            pub fn forget(&self, _: usize, _: usize) {}
        }
    }
}
