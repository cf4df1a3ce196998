//! One region's worth of memory that a test source owns, with the state of each of its bytes.

use alloc::alloc::{alloc, dealloc, handle_alloc_error};
use alloc::collections::BTreeMap;
use core::alloc::Layout;
use core::ops::Range;
use core::ptr::NonNull;

use coreheap::Region;

use crate::lock::Lock;

/// What a heap may not touch is filled with this, and must still be when it is given out or committed next.
const UNTOUCHED: u8 = 0xc3;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    NeverCommitted,
    Committed,
    Decommitted,
}

/// The memory; all of it is filled with [`UNTOUCHED`] while it is nobody's.
pub(crate) struct Area {
    buffer: NonNull<u8>,
    layout: Layout,
    /// Where the region starts, inside the buffer.
    start: usize,
    size: usize,
    unit: usize,
    /// Whether memory must be committed before it is touched.
    commits: bool,
    inner: Lock<Inner>,
}

struct Inner {
    /// How many bytes of the region are given out; 0: it is not.
    given: usize,
    /// Where each run of bytes of the same state starts.
    states: BTreeMap<usize, State>,
}

impl Inner {
    fn state(&self, at: usize) -> State {
        *self.states.range(..=at).next_back().expect("there is a state from 0 on").1
    }

    fn set(&mut self, range: Range<usize>, state: State) {
        let behind = self.state(range.end);
        self.states.retain(|start, _| *start < range.start || *start > range.end);
        self.states.insert(range.start, state);
        self.states.insert(range.end, behind);
    }

    /// The runs of `range`, each of one state.
    fn runs(&self, range: Range<usize>) -> alloc::vec::Vec<(Range<usize>, State)> {
        let mut runs = alloc::vec![];
        let mut at = range.start;
        while at < range.end {
            let end = self.states.range(at + 1..).next().map_or(range.end, |(start, _)| *start).min(range.end);
            runs.push((at..end, self.state(at)));
            at = end;
        }
        runs
    }
}

// SAFETY: the buffer is owned; who may touch which of its bytes is the contract of a page source.
unsafe impl Send for Area {}
// SAFETY: as above; the rest is behind a lock.
unsafe impl Sync for Area {}

impl Area {
    /// Memory of `size` bytes at an address that is `skew` bytes above a multiple of 4096.
    pub(crate) fn new(size: usize, skew: usize, unit: usize, commits: bool) -> Self {
        let size = if unit == 1 { size } else { size / unit * unit };
        let layout = Layout::from_size_align((size + skew).max(1), 4096).expect("the test's own sizes are sensible");
        // SAFETY: at least one byte.
        let Some(buffer) = NonNull::new(unsafe { alloc(layout) }) else { handle_alloc_error(layout) };
        // SAFETY: all of the buffer.
        unsafe { buffer.write_bytes(UNTOUCHED, layout.size()) };
        let states = BTreeMap::from([(0, State::NeverCommitted)]);
        let start = buffer.addr().get() + skew;
        Area { buffer, layout, start, size, unit, commits, inner: Lock::new(Inner { given: 0, states }) }
    }

    /// Gives the region out, `first_size` bytes of it if `min_size` allows, filled with `fresh`.
    pub(crate) fn give(&self, min_size: usize, first_size: usize, fresh: Option<u8>) -> Option<Region> {
        let mut inner = self.inner.lock();
        if inner.given > 0 || self.size < min_size {
            return None;
        }
        let size = first_size.max(min_size).min(self.size).next_multiple_of(self.unit);
        inner.given = size;
        self.hand_over(0, size, fresh);
        Some(Region { start: self.pointer(self.start), size })
    }

    /// Gives more of the region out; returns how many bytes.
    pub(crate) fn grow(&self, region: Region, min_size: usize, preferred_size: usize, fresh: Option<u8>) -> usize {
        let mut inner = self.inner.lock();
        assert_eq!((region.start.addr().get(), region.size), (self.start, inner.given), "not the region as grown");
        let room = self.size - inner.given;
        if min_size > room {
            return 0;
        }
        let added = preferred_size.next_multiple_of(self.unit).min(room);
        self.hand_over(inner.given, added, fresh);
        inner.given += added;
        added
    }

    /// Takes the region back.
    pub(crate) fn take_back(&self, region: Region) {
        let mut inner = self.inner.lock();
        assert_eq!((region.start.addr().get(), region.size), (self.start, inner.given), "not the region as grown");
        self.check_uncommitted(&inner);
        // SAFETY: the region, which is the source's again.
        unsafe { region.start.write_bytes(UNTOUCHED, region.size) };
        inner.given = 0;
        inner.states = BTreeMap::from([(0, State::NeverCommitted)]);
    }

    /// Makes bytes usable that are not yet.
    pub(crate) fn commit(&self, start: NonNull<u8>, size: usize, fresh: u8, recommitted: u8) {
        let mut inner = self.inner.lock();
        let first = start.addr().get() - self.start;
        for (run, state) in inner.runs(first..first + size) {
            if state != State::Committed {
                let filling = if state == State::NeverCommitted { fresh } else { recommitted };
                self.hand_over(run.start, run.len(), Some(filling));
                inner.set(run, State::Committed);
            }
        }
    }

    /// Makes bytes unusable.
    pub(crate) fn decommit(&self, start: NonNull<u8>, size: usize) {
        let mut inner = self.inner.lock();
        let first = start.addr().get() - self.start;
        let runs = inner.runs(first..first + size);
        assert!(runs.iter().all(|(_, state)| *state == State::Committed), "decommits what is not committed");
        inner.set(first..first + size, State::Decommitted);
        // SAFETY: a range of the region whose contents nobody uses.
        unsafe { start.write_bytes(UNTOUCHED, size) };
    }

    /// Fills bytes whose contents nobody uses.
    pub(crate) fn fill(&self, start: NonNull<u8>, size: usize, byte: u8) {
        // SAFETY: a range of the region whose contents nobody uses.
        unsafe { start.write_bytes(byte, size) };
    }

    /// The region, if it is given out.
    pub(crate) fn given(&self) -> Option<Region> {
        let given = self.inner.lock().given;
        (given > 0).then(|| Region { start: self.pointer(self.start), size: given })
    }

    /// Whether these bytes are given out.
    pub(crate) fn is_given(&self, start: usize, size: usize) -> bool {
        let given = self.inner.lock().given;
        start >= self.start && size <= given && start - self.start <= given - size
    }

    /// Whether these bytes, which are given out, are committed.
    pub(crate) fn is_committed(&self, start: usize, size: usize) -> bool {
        let first = start - self.start;
        self.inner.lock().runs(first..first + size).iter().all(|(_, state)| *state == State::Committed)
    }

    /// How many bytes are committed.
    pub(crate) fn committed_bytes(&self) -> usize {
        let runs = self.inner.lock().runs(0..self.size);
        runs.iter().filter(|(_, state)| *state == State::Committed).map(|(run, _)| run.len()).sum()
    }

    /// Whether the address lies in the region, given out or not.
    pub(crate) fn spans(&self, address: usize) -> bool {
        address.wrapping_sub(self.start) < self.size
    }

    /// A pointer to an address in the region.
    pub(crate) fn pointer_at(&self, address: usize) -> *mut u8 {
        self.buffer.as_ptr().with_addr(address)
    }

    fn pointer(&self, address: usize) -> NonNull<u8> {
        NonNull::new(self.pointer_at(address)).expect("an address in the buffer")
    }

    /// Checks that nobody touched these bytes, given as an offset, and fills them for the heap.
    fn hand_over(&self, offset: usize, size: usize, filling: Option<u8>) {
        self.check_untouched(offset, size);
        if let Some(byte) = filling {
            // SAFETY: inside the buffer, and the source's until now.
            unsafe { self.pointer(self.start + offset).write_bytes(byte, size) };
        }
    }

    /// Checks that nobody touched what is given out but not committed.
    fn check_uncommitted(&self, inner: &Inner) {
        for (run, state) in inner.runs(0..inner.given) {
            if self.commits && state != State::Committed {
                self.check_untouched(run.start, run.len());
            }
        }
    }

    fn check_untouched(&self, offset: usize, size: usize) {
        let clean = [UNTOUCHED; 4096];
        // SAFETY: inside the buffer, which `new` initialised, and the source's for now.
        let bytes = unsafe { core::slice::from_raw_parts(self.pointer(self.start + offset).as_ptr(), size) };
        let untouched = bytes.chunks(clean.len()).all(|chunk| *chunk == clean[..chunk.len()]);
        assert!(untouched, "memory that was not the heap's was written, in {size} bytes at {:#x}", self.start + offset);
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        #[cfg(feature = "std")]
        let check = !std::thread::panicking();
        #[cfg(not(feature = "std"))]
        let check = true;
        if check {
            let inner = self.inner.lock();
            self.check_uncommitted(&inner);
            self.check_untouched(inner.given, self.size - inner.given);
        }
        // SAFETY: made in `new` with this layout.
        unsafe { dealloc(self.buffer.as_ptr(), self.layout) };
    }
}
