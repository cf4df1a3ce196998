//! What belongs to one core: its magazines, and the page it takes blocks from in each size class.
//!
//! *Role*: a [`CoreLocal`](crate::CoreLocal) owns a slot for each core; the heap makes the core heap behind it on first use.
//!
//! *Invariants*
//! - C1: a core heap is made from zeroed memory, is published once through its slot and stays as long as the heap.
//! - C2: a page in `current` is held, and whoever swaps it out lets it go.

use core::mem::offset_of;
use core::ops::Index;
use core::ptr::null_mut;

use crate::base::size_class::SizeClass;
use crate::base::sync::{AtomicBool, AtomicPtr, AtomicUsize, CachePadded, Ordering, array_of, const_but_in_models};
use crate::cores::in_hand::InHand;
use crate::cores::magazine::{Magazine, SlotPtr};
use crate::pages::geometry::Geometry;
use crate::pages::page::Page;

/// The magazines and current pages of one core. The layout is fixed where ports pop and push in assembly: what a magazine has in each of the first arrays
/// lies there at the number of its class.
#[repr(C)]
pub struct CoreHeap<G: Geometry> {
    newest: Numbered<G>,
    limits: Numbered<G>,
    words: G::MagazineWords,
    current: G::PerClass<AtomicPtr<Page<G>>>,
    /// Whether the core needed more than its magazines had, or had no room in them, since [`was_used`](Self::was_used) was asked.
    is_used: AtomicBool,
}

/// A pointer for each magazine, by the number of its class.
#[repr(C)]
struct Numbered<G: Geometry> {
    /// That of the number 0, which is no class: it points at a word that is always 0, and so there is neither a block nor room.
    none: SlotPtr,
    pointers: G::PerMagazine<SlotPtr>,
}

impl<G: Geometry> CoreHeap<G> {
    /// Where the limits lie in a core heap, in bytes, for ports that pop and push in assembly.
    pub const LIMITS: usize = offset_of!(Self, limits);

    /// A core heap from its parts, for models that cannot start from zeroed memory. It is [made](CoreSlot::install) where it stays.
    #[cfg(all(test, any(loom, miri)))]
    pub fn from_parts(
        [newest, limits]: [G::PerMagazine<SlotPtr>; 2],
        words: G::MagazineWords,
        current: G::PerClass<AtomicPtr<Page<G>>>,
    ) -> Self {
        let numbered = |pointers| Numbered { none: SlotPtr::new(null_mut()), pointers };
        CoreHeap { newest: numbered(newest), limits: numbered(limits), words, current, is_used: AtomicBool::new(false) }
    }

    /// Makes a core heap (C1).
    ///
    /// # Safety
    /// `memory` is zeroed, stays, and nobody else uses it.
    unsafe fn make<'a>(memory: *mut Self) -> &'a Self {
        // SAFETY: the caller's promise; all is valid when zero.
        let heap = unsafe { &*memory };
        heap.magazines().for_each(|(_, magazine)| magazine.prepare());
        if G::HAS_MAGAZINES {
            // It never holds a block: any 0 will do.
            Magazine::new(&heap.newest.none, &heap.limits.none, heap.words.as_ref()).prepare();
        }
        heap
    }

    /// The magazine of this class.
    ///
    /// # Safety
    /// The class is one of this geometry's, which has magazines; or of large blocks that wait in magazines.
    #[inline(always)]
    pub unsafe fn magazine(&self, class: SizeClass) -> Magazine<'_> {
        let (index, newest, limits) = (class.index(), self.newest.pointers.as_ref(), self.limits.pointers.as_ref());
        debug_assert!(index < newest.len());
        // SAFETY: the caller's promise; the geometry has a magazine for each such class.
        unsafe { Magazine::new(newest.get_unchecked(index), limits.get_unchecked(index), self.words(index)) }
    }

    /// The words of the magazine with this index.
    ///
    /// # Safety
    /// There is that magazine.
    #[inline(always)]
    unsafe fn words(&self, index: usize) -> &[AtomicUsize] {
        // SAFETY: the geometry says where each magazine begins, and where the last one ends; the caller's promise.
        unsafe {
            let [first, end] = [index, index + 1].map(|index| *G::FIRST_WORDS.get_unchecked(index) as usize);
            self.words.as_ref().get_unchecked(first..end)
        }
    }

    /// All magazines, by class, those of large blocks behind the others; none if the geometry has none.
    pub fn magazines(&self) -> impl Iterator<Item = (SizeClass, Magazine<'_>)> {
        let pointers = self.newest.pointers.as_ref().iter().zip(self.limits.pointers.as_ref()).enumerate();
        // SAFETY: as many as there are pointers.
        let words = |index| unsafe { self.words(index) };
        pointers.map(move |(index, (newest, limit))| (SizeClass::from_index(index), Magazine::new(newest, limit, words(index))))
    }

    /// Notes that a magazine of this core is filled or emptied.
    pub fn note_use(&self) {
        if !self.is_used.load(Ordering::Relaxed) {
            self.is_used.store(true, Ordering::Relaxed);
        }
    }

    /// Whether that was noted since the previous call. A hint, as two contexts may ask at the same time.
    pub fn was_used(&self) -> bool {
        self.is_used.swap(false, Ordering::Relaxed)
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

/// Where a [`CoreLocal`](crate::CoreLocal) keeps one core's heap. All zero at first.
#[derive(Debug)]
pub struct CoreSlot {
    /// The core heap, once it was made.
    heap: AtomicPtr<()>,
    /// What contexts on this core have in hand.
    in_hand: InHand,
    /// Whether somebody waited in vain for the core heap: who has it may be gone for good.
    is_lost: AtomicBool,
}

impl CoreSlot {
    const_but_in_models! {
        /// A slot without a core heap.
        pub fn new() -> Self {
            CoreSlot { heap: AtomicPtr::new(null_mut()), in_hand: InHand::new(), is_lost: AtomicBool::new(false) }
        }
    }

    /// The core heap, whoever uses it at the moment.
    ///
    /// # Safety
    /// `G` is the geometry of the heap that owns this slot.
    #[inline(always)]
    pub unsafe fn heap<G: Geometry>(&self) -> Option<&CoreHeap<G>> {
        // SAFETY: C1; the Acquire in `address` pairs with `install`.
        unsafe { self.address().cast::<CoreHeap<G>>().as_ref() }
    }

    /// What contexts on this core have in hand.
    #[allow(dead_code)] // In models.
    pub(crate) fn in_hand(&self) -> &InHand {
        &self.in_hand
    }

    /// Forgets what contexts on this core had in hand, after they are gone for good (in the child of a `fork`).
    pub fn forget_in_hand(&self) {
        self.in_hand.forget();
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
    #[inline(always)]
    pub fn address(&self) -> *mut () {
        self.heap.load(Ordering::Acquire)
    }

    /// Makes a core heap and publishes it, unless there is one already; says whether it did. If not, the memory is the caller's again, and no longer zero.
    ///
    /// # Safety
    /// `heap` is zeroed memory that stays a core heap (C1), if it becomes one, and nobody else uses it.
    pub unsafe fn install<G: Geometry>(&self, heap: *mut CoreHeap<G>) -> bool {
        // SAFETY: the caller's promise.
        unsafe { CoreHeap::make(heap) };
        self.heap.compare_exchange(null_mut(), heap.cast(), Ordering::Release, Ordering::Relaxed).is_ok()
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
