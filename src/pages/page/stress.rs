//! Many threads, two page headers, three sizes of blocks, and threads that lose their processor before any use of an atomic: what models show for
//! two threads and a few steps, here for many.

use std::alloc::{Layout, alloc_zeroed};
use std::time::{Duration, Instant};
use std::vec::Vec;

use super::*;
use crate::base::sync::preempt_from_now_on;

crate::geometry! {
    /// Pages of up to two words of blocks; all classes share a room word.
    struct Few {
        slice_size: 1024, max_block: 512, page_size: 1024, arena_size: 65536, magazine_slots: 0,
        page_words: 2, pages_per_group: 2, listed_words: 1, page_entry_bits: 32, grow_size: 4096, fit_candidates: 4,
    }
}

const START: usize = 0x10_0000;
const SIZES: [usize; 3] = [8, 64, 512];
const THREADS: usize = 6;

/// A group, the pages that three "cores" take their blocks from, and who has which granule. The last are no atomics that preempt.
struct World {
    group: &'static PageGroup<Few>,
    current: [core::sync::atomic::AtomicPtr<Page<Few>>; SIZES.len()],
    owners: Vec<core::sync::atomic::AtomicUsize>,
    retired: core::sync::atomic::AtomicUsize,
}

/// A block that a thread has, and what it was taken as.
struct Owned {
    page: &'static Page<Few>,
    address: usize,
    size: usize,
}

impl World {
    fn granules(&self, address: usize, size: usize) -> &[core::sync::atomic::AtomicUsize] {
        let first = (address - START) / 8;
        &self.owners[first..first + size / 8]
    }

    /// Makes whoever had the granules before hand them over.
    fn pass(&self, address: usize, size: usize, from: usize, to: usize) {
        for granule in self.granules(address, size) {
            assert_eq!(
                granule.swap(to, Ordering::Relaxed),
                from,
                "two have the granule of a block of {size} bytes at {address:#x}"
            );
        }
    }

    fn page_of(page: &Page<Few>) -> usize {
        START + page.index.load(Ordering::Relaxed) as usize * Few::SLICE_SIZE
    }

    fn fresh(&self, size: usize) -> Option<&'static Page<Few>> {
        let page = self.group.claim_unused()?;
        self.pass(Self::page_of(page), Few::SLICE_SIZE, 0, 0);
        page.open(class(size), Self::page_of(page), 1);
        Some(page)
    }

    fn let_go(&self, page: &'static Page<Few>) {
        loop {
            if page.claim_all() {
                self.pass(Self::page_of(page), Few::SLICE_SIZE, 0, 0);
                page.close();
                self.retired.fetch_add(1, Ordering::Relaxed);
                return;
            }
            if page.let_go() {
                return;
            }
        }
    }

    fn give(&self, page: &'static Page<Few>, word: usize, bits: usize) {
        let given = page.give(word, bits);
        assert!(!given.double, "a block that is out is free");
        if given.emptied.is_some_and(|emptied| page.hold(emptied)) {
            self.let_go(page);
        }
    }

    fn take(&self, page: &'static Page<Few>, size: usize, want: usize, thread: usize, owned: &mut Vec<Owned>) -> bool {
        match page.take(class(size), want) {
            None => false,
            Some(Err(stray)) => {
                self.give(page, stray.word, stray.bits);
                false
            }
            Some(Ok(mut batch)) => {
                while let Some(block) = batch.lowest() {
                    let address = block.address();
                    self.pass(address, size, 0, thread);
                    owned.push(Owned { page, address, size });
                }
                true
            }
        }
    }

    /// What a thread does, over and over: takes from the current page, a listed one, a fresh one, or any, and gives back.
    fn step(&self, draw: &mut impl FnMut(usize) -> usize, thread: usize, owned: &mut Vec<Owned>) {
        let (index, want) = (draw(SIZES.len()), 1 + draw(WORD_BITS));
        let size = SIZES[index];
        // SAFETY: headers stay.
        let current = unsafe { self.current[index].load(Ordering::Acquire).as_ref() };
        let took = draw(4) != 0 && current.is_some_and(|page| self.take(page, size, want, thread, owned));
        if !took && let Some(page) = self.group.hold_listed(class(size)).or_else(|| self.fresh(size)) {
            self.take(page, size, want, thread, owned);
            let before = if draw(2) == 0 {
                let pointer = core::ptr::from_ref(page).cast_mut();
                // SAFETY: headers stay.
                unsafe { self.current[index].swap(pointer, Ordering::AcqRel).as_ref() }
            } else {
                Some(page)
            };
            before.into_iter().for_each(|page| self.let_go(page));
        }
        if draw(8) == 0 {
            self.take(self.group.page(draw(2)), size, 1, thread, owned);
        }
        if draw(3) == 0 {
            self.drop_current(index);
        }
        while owned.len() > draw(8) {
            self.give_back(owned.swap_remove(draw(owned.len())), thread);
        }
    }

    fn give_back(&self, Owned { page, address, size }: Owned, thread: usize) {
        self.pass(address, size, thread, 0);
        let (word, bit) = page.locate(address).expect("the page of a block that is out stays");
        self.give(page, word, 1 << bit);
    }

    fn drop_current(&self, index: usize) {
        // SAFETY: headers stay.
        let page = unsafe { self.current[index].swap(core::ptr::null_mut(), Ordering::AcqRel).as_ref() };
        page.into_iter().for_each(|page| self.let_go(page));
    }
}

fn class(size: usize) -> SizeClass {
    Few::class_of(size, 1).unwrap()
}

#[test]
fn no_block_has_two_owners_and_every_page_is_retired() {
    let seconds = std::env::var("STRESS_SECONDS").map_or(5, |seconds| seconds.parse().unwrap());
    // SAFETY: zeroed memory of this layout that stays; not zero-sized.
    let group = unsafe { PageGroup::init(alloc_zeroed(Layout::new::<PageGroup<Few>>()).cast()) };
    let world = World {
        group,
        current: Default::default(),
        owners: (0..2 * Few::SLICE_SIZE / 8).map(|_| Default::default()).collect(),
        retired: Default::default(),
    };
    let (start, mut seed) = (Instant::now(), 1);
    while start.elapsed() < Duration::from_secs(seconds) {
        std::thread::scope(|scope| {
            for thread in 1..=THREADS {
                seed += 1;
                let world = &world;
                scope.spawn(move || {
                    preempt_from_now_on(seed as u64 * 0x9e37_79b9_7f4a_7c15);
                    let mut state = seed as u64;
                    let mut draw = move |below: usize| {
                        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                        (state >> 33) as usize % below.max(1)
                    };
                    let mut owned = Vec::new();
                    (0..2_000).for_each(|_| world.step(&mut draw, thread, &mut owned));
                    owned.into_iter().for_each(|block| world.give_back(block, thread));
                });
            }
        });
        (0..SIZES.len()).for_each(|index| world.drop_current(index));
        for page in group.pages() {
            page.assert_valid();
            assert_eq!(page.state.load().phase(), Phase::Unused, "an empty page was not retired");
        }
    }
    std::println!("{} pages were retired, seeds up to {seed}", world.retired.load(Ordering::Relaxed));
}
