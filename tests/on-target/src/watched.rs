//! [`Watched`]: a subject of the action driver whose calls are noticed.

use core::alloc::Layout;
use core::cell::Cell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use coreheap_tests::subject::Subject;

use crate::masking;

static IS_INSIDE: AtomicBool = AtomicBool::new(false);

/// Whether a call is under way, for an interrupt that comes then.
pub fn is_inside() -> bool {
    IS_INSIDE.load(Relaxed)
}

/// A subject, and what its calls did.
pub struct Watched<'a, H> {
    subject: &'a H,
    calls: Cell<u32>,
    masked: Cell<Masked>,
}

/// How calls masked interrupts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Masked {
    /// How often.
    pub times: u32,
    /// How often one call did it, at most.
    pub most: u32,
    /// For how many instructions, at most.
    pub longest: u32,
}

impl<'a, H: Subject> Watched<'a, H> {
    /// Before the first call.
    pub const fn new(subject: &'a H) -> Self {
        Watched { subject, calls: Cell::new(0), masked: Cell::new(Masked { times: 0, most: 0, longest: 0 }) }
    }

    /// How many calls there were that allocate, free or reallocate.
    pub fn calls(&self) -> u32 {
        self.calls.get()
    }

    /// How they masked interrupts.
    pub fn masked(&self) -> Masked {
        self.masked.get()
    }

    fn watch<R>(&self, call: impl FnOnce(&H) -> R) -> R {
        let before = masking::count();
        masking::take_longest();
        IS_INSIDE.store(true, Relaxed);
        let result = call(self.subject);
        IS_INSIDE.store(false, Relaxed);
        self.calls.set(self.calls.get() + 1);
        let Masked { times, most, longest } = self.masked.get();
        let now = masking::count() - before;
        let longest = longest.max(masking::take_longest());
        self.masked.set(Masked { times: times + now, most: most.max(now), longest });
        result
    }
}

// SAFETY: the subject's own promises.
unsafe impl<H: Subject> Subject for Watched<'_, H> {
    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        self.watch(|subject| subject.allocate(layout))
    }

    fn allocate_zeroed(&self, layout: Layout) -> Option<NonNull<u8>> {
        self.watch(|subject| subject.allocate_zeroed(layout))
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise.
        self.watch(|subject| unsafe { subject.deallocate(block, layout) });
    }

    unsafe fn deallocate_unsized(&self, block: *mut u8) {
        // SAFETY: the caller's promise.
        self.watch(|subject| unsafe { subject.deallocate_unsized(block) });
    }

    unsafe fn reallocate(&self, block: NonNull<u8>, layout: Layout, new_size: usize) -> Option<NonNull<u8>> {
        // SAFETY: the caller's promise.
        self.watch(|subject| unsafe { subject.reallocate(block, layout, new_size) })
    }

    fn usable_size(&self, block: *const u8) -> Option<usize> {
        self.subject.usable_size(block)
    }

    fn purge(&self) -> usize {
        self.subject.purge()
    }

    fn purge_aged(&self) -> usize {
        self.subject.purge_aged()
    }

    fn used(&self) -> usize {
        self.subject.used()
    }

    fn assert_valid(&self) {
        self.subject.assert_valid();
    }
}
