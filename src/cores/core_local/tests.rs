//! What tests of core-locals have in common: core heaps for them, and made-up blocks; and the tests of what all have, and of [`SingleCore`].

use core::cell::Cell;
use core::mem::MaybeUninit;
use core::num::NonZeroUsize;
use std::boxed::Box;
use std::thread_local;
use std::vec::Vec;

use super::*;

crate::geometry! {
    /// Four slots to a magazine.
    pub struct Four {
        slice_size: 256, max_block: 512, page_size: 1024, arena_size: 65536, magazine_slots: 4,
        magazine_bytes: 4096, page_words: 2, pages_per_group: 5, listed_words: 3, grow_size: 4096, fit_candidates: 4,
    }
}

/// Memory that is all zero.
pub fn zeroed<T>() -> Box<MaybeUninit<T>> {
    Box::new(MaybeUninit::zeroed())
}

/// The class of all blocks.
pub fn class() -> SizeClass {
    Four::class_of(64, 1).unwrap()
}

/// A core-local, and the core heaps that some of its cores have.
pub struct Cores<C> {
    pub cores: C,
    heaps: Vec<*mut CoreHeap<Four>>,
}

impl<C: CoreLocal> Cores<C> {
    pub fn new(cores: C) -> Self {
        Cores { cores, heaps: Vec::new() }
    }

    /// Makes this core's heap.
    pub fn make(&mut self, core: usize) {
        let heap = Box::into_raw(zeroed::<CoreHeap<Four>>()).cast::<CoreHeap<Four>>();
        self.heaps.push(heap);
        // SAFETY: zeroed memory, which stays as long as `self`; a class of the geometry.
        unsafe {
            assert!(self.cores.install(core, heap));
            (*heap).magazine(class()).set_limit(Four::MAGAZINE_SLOTS);
        }
    }

    pub fn push(&self, address: usize) -> bool {
        // SAFETY: the tests' geometry.
        let pushed = unsafe { self.cores.push::<Four>(class(), block(address)) };
        pushed.map_err(|back| assert_eq!(back.address(), address)).is_ok()
    }

    pub fn pop(&self) -> Option<usize> {
        // SAFETY: as in `push`.
        unsafe { self.cores.pop::<Four>(class()) }.map(|block| block.address())
    }

    /// Pushes these; what of them comes back.
    pub fn push_many(&self, addresses: &[usize]) -> Vec<usize> {
        let mut blocks = Blocks::new();
        addresses.iter().for_each(|address| blocks.add(block(*address)));
        // SAFETY: as in `push`.
        unsafe { self.cores.push_many::<Four>(class(), &mut blocks) };
        blocks.addresses().to_vec()
    }

    /// Pops until there are so many, beside one that is there already.
    pub fn pop_many(&self, most: usize) -> Vec<usize> {
        let mut blocks = Blocks::new();
        blocks.add(block(8));
        // SAFETY: as in `push`.
        unsafe { self.cores.pop_many::<Four>(class(), &mut blocks, most) };
        blocks.addresses()[1..].to_vec()
    }

    /// Which blocks this core's magazine holds; `None` if the context cannot be alone on it.
    pub fn inside(&self, core: usize) -> Option<Vec<usize>> {
        // SAFETY: as in `push`.
        unsafe {
            self.cores.alone_on::<Four, _>(core, |heap| {
                let mut inside: Vec<_> = heap.magazine(class()).addresses(C::SHARED).collect();
                inside.sort();
                inside
            })
        }
    }
}

impl<C> Drop for Cores<C> {
    fn drop(&mut self) {
        // SAFETY: made in `make`; nobody uses them any more.
        self.heaps.iter().for_each(|heap| unsafe { drop(Box::from_raw(*heap)) });
    }
}

pub fn block(address: usize) -> Block {
    // SAFETY: made up, and the test's alone.
    unsafe { Block::from_address(NonZeroUsize::new(address).unwrap()) }
}

/// Without a core heap nothing comes and nothing goes; with one, as much as there is room for. The core is this context's.
pub fn pushes_and_pops<C: CoreLocal>(mut cores: Cores<C>, core: usize, make_it_its_own: impl Fn(&C)) {
    assert_eq!((cores.push(64), cores.pop(), cores.inside(core)), (false, None, None), "no core heap");
    assert_eq!((cores.push_many(&[64, 128]), cores.pop_many(3)), (vec_of(&[64, 128]), vec_of(&[])));
    cores.make(core);
    make_it_its_own(&cores.cores);
    assert_eq!(cores.pop(), None, "empty");
    assert!([64, 128, 192].iter().all(|address| cores.push(*address)));
    assert_eq!(cores.inside(core), Some(vec_of(&[64, 128, 192])));
    assert_eq!(cores.push_many(&[256, 320, 384]), [256, 320], "the last goes first, and there is room for one");
    assert!(!cores.push(448), "full");
    assert_eq!(cores.pop_many(3), [384, 192], "the newest, up to three with the one before");
    assert_eq!([cores.pop(), cores.pop(), cores.pop()], [Some(128), Some(64), None]);
    assert_eq!(cores.inside(core), Some(vec_of(&[])));
}

thread_local! {
    /// The number that a context, or a core, has at the moment.
    pub static NUMBER: Cell<usize> = const { Cell::new(0) };
}

/// The same with each of three cores, of which [`NUMBER`] says one, whatever it is.
pub fn pushes_and_pops_by_number<C: CoreLocal + Default>() {
    for number in 0..7 {
        NUMBER.set(number);
        let cores = Cores::new(C::default());
        assert_eq!((cores.cores.core_count(), cores.cores.core()), (3, number % 3));
        pushes_and_pops(cores, number % 3, |_| ());
    }
}

fn vec_of(addresses: &[usize]) -> Vec<usize> {
    addresses.to_vec()
}

fn single() -> Cores<SingleCore> {
    // SAFETY: each has one thread.
    Cores::new(unsafe { SingleCore::new() })
}

#[test]
fn a_single_core_pops_what_it_pushed() {
    let cores = single();
    assert_eq!((cores.cores.core_count(), cores.cores.core()), (1, 0));
    pushes_and_pops(cores, 0, |_| ());
}

#[test]
fn nobody_waits_for_ever() {
    let cores = &single().cores;
    assert!(cores.wait_for(0, 0) && cores.wait_for(0, 1000));
    assert!(!cores.wait_for(0, 100_000_000));
}

/// Several cores, of which one is always busy.
struct Several<const COUNT: usize> {
    slots: [CoreSlot; COUNT],
    busy: usize,
}

// SAFETY: L1: each test has one thread.
unsafe impl<const COUNT: usize> CoreLocal for Several<COUNT> {
    fn core_count(&self) -> usize {
        COUNT
    }

    fn slot(&self, core: usize) -> &CoreSlot {
        &self.slots[core]
    }

    fn core(&self) -> usize {
        0
    }

    unsafe fn alone<G: Geometry, I, R>(&self, input: I, _: impl FnOnce(&CoreHeap<G>, I) -> R) -> Result<R, I> {
        Err(input)
    }

    unsafe fn alone_on<G: Geometry, R>(&self, core: usize, work: impl FnOnce(&CoreHeap<G>) -> R) -> Option<R> {
        // SAFETY: the caller names the geometry.
        if core == self.busy { None } else { unsafe { self.slots[core].heap::<G>() }.map(work) }
    }
}

#[test]
fn each_core_that_has_a_core_heap_is_visited_and_a_busy_one_is_named() {
    for (busy, expected) in [(9, None), (1, None), (2, Some(2))] {
        let mut cores = Cores::new(Several::<4> { slots: Default::default(), busy });
        [0, 2, 3].iter().for_each(|core| cores.make(*core));
        let mut visited = Vec::new();
        // SAFETY: the tests' geometry.
        let named = unsafe { cores.cores.alone_on_each::<Four>(|heap| visited.push(core::ptr::from_ref(heap))) };
        let made = [0, 2, 3].iter().zip(&cores.heaps).filter(|(core, _)| **core != busy);
        assert_eq!((named, visited), (expected, made.map(|(_, heap)| heap.cast_const()).collect()), "{busy} is busy");
    }
}
