//! What belongs to one core: its magazines, and the page it takes blocks from in each size class.
//!
//! *Role*: a [`CoreLocal`](crate::CoreLocal) owns a slot for each core; the heap makes the core heap behind it on first use.
//!
//! *Invariants*
//! - C1: a core heap is made from zeroed memory, is published once through its slot and stays as long as the heap.
//! - C2: a page in `current` is held, and whoever swaps it out lets it go.
//! - C3: a slot's `open` is null or its `heap`. Where the `CoreLocal` says so, taking it out is what makes a context alone on it.

use core::ops::Index;
use core::ptr::null_mut;

use crate::base::size_class::SizeClass;
use crate::base::sync::{AtomicBool, AtomicPtr, CachePadded, Ordering, array_of, const_but_in_models, publish};
use crate::cores::in_hand::InHand;
use crate::cores::magazine::Magazine;
use crate::pages::geometry::Geometry;
use crate::pages::page::Page;

/// The magazines and current pages of one core.
#[repr(C)]
pub struct CoreHeap<G: Geometry> {
    magazines: G::PerMagazine<Magazine<G>>,
    current: G::PerClass<AtomicPtr<Page<G>>>,
}

impl<G: Geometry> CoreHeap<G> {
    /// A core heap from its parts, for models that cannot start from zeroed memory.
    #[cfg(all(test, any(loom, miri)))]
    pub fn from_parts(magazines: G::PerMagazine<Magazine<G>>, current: G::PerClass<AtomicPtr<Page<G>>>) -> Self {
        CoreHeap { magazines, current }
    }

    /// The magazine of this class.
    ///
    /// # Safety
    /// The class is one of this geometry's, which has magazines.
    #[inline(always)]
    pub unsafe fn magazine(&self, class: SizeClass) -> &Magazine<G> {
        let magazines = self.magazines.as_ref();
        debug_assert!(class.index() < magazines.len());
        // SAFETY: the caller's promise; the geometry has a magazine for each class.
        unsafe { magazines.get_unchecked(class.index()) }
    }

    /// All magazines, by class; none if the geometry has none.
    pub fn magazines(&self) -> &[Magazine<G>] {
        self.magazines.as_ref()
    }

    /// The page that blocks of this class are taken from.
    pub fn current(&self, class: SizeClass) -> Option<&Page<G>> {
        // SAFETY: page headers stay as long as the heap.
        unsafe { self.current.as_ref()[class.index()].load(Ordering::Acquire).as_ref() }
    }

    /// Makes `page`, which the caller holds, the current page; returns the one before, which the caller holds now (C2).
    pub fn replace_current(&self, class: SizeClass, page: Option<&Page<G>>) -> Option<&Page<G>> {
        let page = page.map_or(null_mut(), |page| core::ptr::from_ref(page).cast_mut());
        // SAFETY: page headers stay as long as the heap.
        unsafe { self.current.as_ref()[class.index()].swap(page, Ordering::AcqRel).as_ref() }
    }
}

/// Where a [`CoreLocal`](crate::CoreLocal) keeps one core's heap. All zero at first. Its size is a power of two, for ports that compute addresses.
#[derive(Debug)]
#[repr(C, align(32))]
pub struct CoreSlot {
    /// What pop and push use: the core heap, or null while there is none or somebody took it out.
    open: AtomicPtr<()>,
    /// The core heap, once it was made.
    heap: AtomicPtr<()>,
    /// What contexts on this core have in hand.
    in_hand: InHand,
    /// Whether somebody waited in vain for the core heap: who took it out may be gone for good.
    is_lost: AtomicBool,
}

impl CoreSlot {
    const_but_in_models! {
        /// A slot without a core heap.
        pub fn new() -> Self {
            CoreSlot {
                open: AtomicPtr::new(null_mut()),
                heap: AtomicPtr::new(null_mut()),
                in_hand: InHand::new(),
                is_lost: AtomicBool::new(false),
            }
        }
    }

    /// The core heap, whoever uses it at the moment.
    ///
    /// # Safety
    /// `G` is the geometry of the heap that owns this slot.
    pub unsafe fn heap<G: Geometry>(&self) -> Option<&CoreHeap<G>> {
        // SAFETY: C1; the Acquire in `address` pairs with `install`.
        unsafe { self.address().cast::<CoreHeap<G>>().as_ref() }
    }

    /// What contexts on this core have in hand.
    #[allow(dead_code)] // In models.
    pub(crate) fn in_hand(&self) -> &InHand {
        &self.in_hand
    }

    /// Whether the core heap was waited for in vain, as [`lose`](Self::lose) notes.
    #[allow(dead_code)] // In models.
    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }

    /// Notes that nobody should wait for this core heap again.
    #[allow(dead_code)] // In models.
    pub(crate) fn lose(&self) {
        self.is_lost.store(true, Ordering::Relaxed);
    }

    /// Whether no core heap was made yet.
    #[allow(dead_code)] // Where no core heaps are leased.
    pub(crate) fn is_empty(&self) -> bool {
        self.address().is_null()
    }

    /// Where the core heap lies; null before it is made.
    pub(crate) fn address(&self) -> *mut () {
        self.heap.load(Ordering::Acquire)
    }

    /// The core heap, if nobody took it out; leaves it in place.
    ///
    /// # Safety
    /// `G` is the geometry of the heap that owns this slot.
    #[inline(always)]
    pub unsafe fn peek<G: Geometry>(&self) -> Option<&CoreHeap<G>> {
        // SAFETY: C1; Acquire pairs with `install` and `put_back`.
        unsafe { self.open.load(Ordering::Acquire).cast::<CoreHeap<G>>().as_ref() }
    }

    /// Takes the core heap out, if nobody else did.
    ///
    /// # Safety
    /// `G` is the geometry of the heap that owns this slot. The caller puts the core heap back.
    #[inline(always)]
    pub unsafe fn take_out<G: Geometry>(&self) -> Option<&CoreHeap<G>> {
        // SAFETY: C1; Acquire pairs with `install` and `put_back`.
        unsafe { self.open.swap(null_mut(), Ordering::Acquire).cast::<CoreHeap<G>>().as_ref() }
    }

    /// Puts the core heap back.
    ///
    /// # Safety
    /// [`take_out`](Self::take_out) of this slot gave it to the caller, who does not use it any more.
    #[inline(always)]
    pub unsafe fn put_back<G: Geometry>(&self, heap: &CoreHeap<G>) {
        publish(&self.open, core::ptr::from_ref(heap).cast_mut().cast());
    }

    /// Puts whatever core heap there is back, after the context that took it out is gone for good (in the child of a `fork`), with what it had in
    /// hand.
    ///
    /// # Safety
    /// Nobody is using the core heap.
    pub unsafe fn reopen(&self) {
        self.in_hand.forget();
        publish(&self.open, self.heap.load(Ordering::Acquire));
    }

    /// Publishes a new core heap; false if there is one already.
    ///
    /// # Safety
    /// `heap` is zeroed memory that stays a core heap (C1).
    pub unsafe fn install<G: Geometry>(&self, heap: *mut CoreHeap<G>) -> bool {
        let won = self.heap.compare_exchange(null_mut(), heap.cast(), Ordering::Release, Ordering::Relaxed).is_ok();
        if won {
            publish(&self.open, heap.cast());
        }
        won
    }
}

impl Default for CoreSlot {
    fn default() -> Self {
        Self::new()
    }
}

/// A slot for each core, on cache lines of its own.
#[derive(Debug)]
#[allow(dead_code)] // Where one context uses the heap.
pub struct CoreSlots<const CORES: usize>([CachePadded<CoreSlot>; CORES]);

#[allow(dead_code)]
impl<const CORES: usize> CoreSlots<CORES> {
    const_but_in_models! {
        /// All empty.
        pub fn new() -> Self {
            CoreSlots(array_of!(CachePadded(CoreSlot::new())))
        }
    }
}

impl<const CORES: usize> Index<usize> for CoreSlots<CORES> {
    type Output = CoreSlot;

    #[inline(always)]
    fn index(&self, core: usize) -> &CoreSlot {
        &self.0[core].0
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, any(loom, miri)))]
mod model;
