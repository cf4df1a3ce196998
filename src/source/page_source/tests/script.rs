//! A source for tests of what a heap asks for, and of what comes of the answers.

use core::alloc::Layout;
use core::cell::{Cell, RefCell};
use core::ptr::NonNull;
use std::boxed::Box;
use std::collections::VecDeque;
use std::vec::Vec;

use super::memory_that_stays;
use crate::source::page_source::{PageSource, Region, RegionRequest};

/// What memory holds before the heap has it. Each mark that a heap may look for is set.
pub const DIRT: u8 = 0xa7;

/// A source that answers as it is told.
pub struct Script {
    pub regions: Vec<Region>,
    /// Which region is handed out next, if the request is not refused. Then all requests are.
    answers: RefCell<VecDeque<Option<usize>>>,
    /// Which region it begins with, after it has been asked so many times.
    pub first: Cell<Option<(usize, usize)>>,
    /// What it was asked for.
    pub requests: RefCell<Vec<RegionRequest>>,
    /// What another context does during the next request.
    pub interrupt: Cell<Option<Box<dyn FnOnce()>>>,
}

// SAFETY: one thread has it.
unsafe impl Sync for Script {}

impl Script {
    /// Regions of these sizes, at addresses that are multiples of 4096 but for the skew.
    pub fn new(sizes: &[usize], skew: usize, answers: &[Option<usize>]) -> Self {
        let region = |size: &usize| {
            let memory = memory_that_stays(size + skew, 4096);
            // SAFETY: its bytes; `skew` of them are in front.
            unsafe { memory.write_bytes(DIRT, size + skew) };
            // SAFETY: as above.
            Region { start: unsafe { memory.add(skew) }, size: *size }
        };
        Script {
            regions: sizes.iter().map(region).collect(),
            answers: RefCell::new(answers.iter().copied().collect()),
            first: Cell::new(None),
            requests: RefCell::default(),
            interrupt: Cell::new(None),
        }
    }

    /// How often it was asked for a region.
    pub fn asked(&self) -> usize {
        self.requests.borrow().len()
    }
}

// SAFETY: each region is handed out once, or is the first.
unsafe impl PageSource for Script {
    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        self.requests.borrow_mut().push(request);
        if let Some(interrupt) = self.interrupt.take() {
            interrupt();
        }
        let answer = self.answers.borrow_mut().pop_front()?;
        answer.map(|index| self.regions[index])
    }

    fn first_region(&self, _: usize) -> Option<Region> {
        let (calls, index) = self.first.get()?;
        self.first.set(Some((calls.saturating_sub(1), index)));
        (calls == 0).then(|| self.regions[index])
    }

    fn pointer_at(&self, address: usize) -> *mut u8 {
        let region = self.regions.iter().find(|region| region.holds(address)).expect("an address in a region");
        region.start.as_ptr().with_addr(address)
    }
}

/// While a heap asks for its first memory another context asks as well, and is granted 4096 bytes, which this one is refused. A block that fits into
/// them is served then; for one that does not, more is asked for. `check` is told whether it fits.
pub fn memory_that_came_meanwhile_is_looked_at<H: 'static>(
    new: fn(Script) -> H,
    source: fn(&H) -> &Script,
    allocate: fn(&H, Layout) -> Option<NonNull<u8>>,
    check: fn(&H, bool),
) {
    let layout = |size| Layout::from_size_align(size, 8).expect("a layout");
    for (size, fits) in [(1000, true), (5000, false)] {
        let heap = new(Script::new(&[4096], 0, &[Some(0)]));
        let (other, small): (*const H, _) = (&heap, layout(8));
        // SAFETY: the heap is there.
        let interrupt = move || assert!(allocate(unsafe { &*other }, small).is_some());
        source(&heap).interrupt.set(Some(Box::new(interrupt)));
        assert_eq!(allocate(&heap, layout(size)).is_some(), fits);
        check(&heap, fits);
    }
}
