use super::*;
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::vec::Vec;

crate::geometry! {
    /// A page has up to two words of blocks; classes share room words.
    struct Small {
        slice_size: 256, fit_candidates: 4, max_block: 512, page_size: 1024, page_words: 2, pages_per_group: 5, room_words: 3, page_entry_bits: 32,
        magazine_slots: 0, magazine_bytes: 0, arena_size: 65536, arena_map: 1, grow_size: 4096,
    }
}

/// Where pages are said to lie; nothing is there.
const START: usize = 0x10_0000;

/// A page group in memory of its own.
struct Group(*mut PageGroup<Small>);

impl Group {
    fn new() -> Self {
        // SAFETY: a group is not zero-sized.
        let memory = unsafe { alloc_zeroed(Layout::new::<PageGroup<Small>>()) }.cast();
        // SAFETY: zeroed, and this test's.
        unsafe { PageGroup::init(memory) };
        Group(memory)
    }
}

impl core::ops::Deref for Group {
    type Target = PageGroup<Small>;

    fn deref(&self) -> &PageGroup<Small> {
        // SAFETY: made in `new`, lives as long as `self`.
        unsafe { &*self.0 }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.0.cast(), Layout::new::<PageGroup<Small>>()) }
    }
}

fn class(size: usize) -> SizeClass {
    Small::class_of(size, 1).unwrap()
}

/// An open page of this class, which the caller holds.
fn open(group: &Group, size: usize, slices: usize) -> &Page<Small> {
    let page = group.claim_unused().unwrap();
    page.open(class(size), START, slices);
    page
}

/// Takes one block.
fn take(page: &Page<Small>, class: SizeClass) -> Option<usize> {
    page.take(class, 1)?.lowest().map(|block| block.address())
}

fn give(page: &Page<Small>, class: SizeClass, address: usize) -> Given {
    let (word, bit) = page.locate(address).unwrap();
    page.give(class, word, 1 << bit)
}

#[test]
fn a_fresh_page_gives_each_block_once() {
    let group = Group::new();
    for (size, slices) in [(8, 4), (24, 3), (48, 4), (512, 8), (104, 4)] {
        let page = open(&group, size, slices);
        let size = class(size).block_size();
        let count = (slices * Small::SLICE_SIZE / size).min(Small::PAGE_BLOCKS);
        assert_eq!((page.block_count(), page.free_count(), page.start(), page.slice_count()), (count, count, START, slices));
        assert!(page.is_held() && !page.is_listed());
        let addresses: Vec<usize> = (0..count).map(|_| take(page, class(size)).unwrap()).collect();
        assert_eq!(addresses, (0..count).map(|index| START + index * size).collect::<Vec<_>>());
        assert_eq!((take(page, class(size)), page.free_count()), (None, 0));
        page.let_go();
        assert!(!page.is_held() && !page.is_listed(), "a full page is neither");
        page.assert_valid();
        for (index, address) in addresses.iter().enumerate() {
            assert_eq!(give(page, class(size), *address), Given { double: false, empty: index + 1 == count });
            assert!(page.is_listed(), "the first block that comes back lists it");
        }
        page.assert_valid();
        assert!(page.hold_if_listed(class(size)) && page.claim_all(class(size)));
        page.close();
    }
}

#[test]
fn a_batch_is_of_one_word_and_as_big_as_wanted() {
    let group = Group::new();
    let page = open(&group, 8, 4);
    let count = |want| {
        let mut batch = page.take(class(8), want)?;
        Some(core::iter::from_fn(|| batch.lowest()).map(|block| block.address()).collect::<Vec<_>>())
    };
    assert_eq!(count(3).unwrap(), [START, START + 8, START + 16]);
    assert_eq!(count(usize::MAX).unwrap().len(), WORD_BITS - 3);
    assert_eq!(count(WORD_BITS).unwrap().len(), (4 * Small::SLICE_SIZE / 8).min(2 * WORD_BITS) - WORD_BITS);
    assert_eq!(count(1), None);
}

#[test]
fn giving_a_free_block_is_seen() {
    let group = Group::new();
    let page = open(&group, 64, 4);
    let address = take(page, class(64)).unwrap();
    let other = take(page, class(64)).unwrap();
    assert!(!give(page, class(64), address).double);
    assert!(give(page, class(64), address).double, "given twice");
    assert!(give(page, class(64), START + 10 * 64).double, "never taken");
    let (word, bits) = (page.locate(other).unwrap().0, 0b11);
    assert!(page.give(class(64), word, bits).double, "one of two");
    assert_eq!(page.free_count(), page.block_count());
    page.assert_valid();
}

#[test]
fn only_starts_of_blocks_are_located() {
    let group = Group::new();
    for size in [8, 24, 40, 104, 192, 448, 512] {
        let page = open(&group, size, 8);
        let size = class(size).block_size();
        let blocks = page.block_count();
        for block in 0..blocks {
            let address = START + block * size;
            assert_eq!(page.locate(address), Some((block / WORD_BITS, block % WORD_BITS)));
            for wrong in [address + 1, address + size / 2, address + size - 1] {
                assert_eq!(page.locate(wrong), None, "{wrong} in a page of {size}");
            }
        }
        let far = usize::MAX / size * size;
        for wrong in [0, 1, START - size, START - 1, START + blocks * size, START + (1 << 16) * size, far, usize::MAX] {
            assert_eq!(page.locate(wrong), None, "{wrong:#x} in a page of {size}");
        }
        assert!(page.claim_all(class(size)));
        page.close();
        assert_eq!(page.locate(START), None, "a closed page has no blocks");
    }
}

#[test]
fn a_listed_page_is_held_once_and_listed_again() {
    let group = Group::new();
    let page = open(&group, 64, 4);
    assert!(group.hold_listed(class(64)).is_none(), "held, hence not listed");
    page.let_go();
    assert!(page.is_listed());
    assert!(group.hold_listed(class(128)).is_none(), "of another class");
    let held = group.hold_listed(class(64)).unwrap();
    assert!(core::ptr::eq(held, page) && held.is_held() && !held.is_listed());
    assert!(group.hold_listed(class(64)).is_none() && !page.hold_if_listed(class(64)));
    let address = take(held, class(64)).unwrap();
    assert!(!give(held, class(64), address).double);
    assert!(!page.is_listed(), "the holder lists it, not the giver");
    held.let_go();
    assert!(!page.hold_if_listed(class(128)), "not as a page of another class");
    assert!(page.is_listed() && page.hold_if_listed(class(64)));
}

#[test]
fn classes_that_share_a_room_word_do_not_get_in_each_others_way() {
    let group = Group::new();
    let sizes: Vec<usize> = (0..5).map(|index| SizeClass::from_index(index * 3).block_size()).collect();
    for size in &sizes {
        open(&group, *size, 2).let_go();
    }
    assert!(group.claim_unused().is_none(), "all headers are in use");
    for size in sizes.iter().rev() {
        let page = group.hold_listed(class(*size)).unwrap();
        assert_eq!(page.class(), Some(class(*size)));
        assert!(group.hold_listed(class(*size)).is_none());
    }
}

#[test]
fn only_an_empty_page_is_claimed() {
    let group = Group::new();
    for size in [8, 512] {
        let page = open(&group, size, 4);
        let address = {
            // The last block: the claim has to give back what it took of the words before.
            let addresses: Vec<usize> = core::iter::from_fn(|| take(page, class(size))).collect();
            let (last, others) = addresses.split_last().unwrap();
            others.iter().for_each(|address| assert!(!give(page, class(size), *address).empty));
            *last
        };
        assert!(!page.claim_all(class(size)));
        assert_eq!(page.free_count(), page.block_count() - 1);
        assert!(give(page, class(size), address).empty);
        assert!(!page.claim_all(class(16)), "of another class");
        assert_eq!(page.free_count(), page.block_count());
        assert!(page.claim_all(class(size)));
        assert!(!page.claim_all(class(size)), "once");
        assert_eq!((page.free_count(), take(page, class(size))), (0, None));
        page.close();
    }
}

#[test]
fn a_closed_header_is_used_again() {
    let group = Group::new();
    let pages: Vec<_> = core::iter::from_fn(|| group.claim_unused()).collect();
    assert_eq!(pages.len(), group.pages().len());
    for (index, page) in pages.iter().enumerate() {
        assert_eq!(page.id(3), 3 * WORD_BITS + index);
        assert_eq!((page.class(), page.is_large()), (None, false));
    }
    pages[2].open(class(32), START, 2);
    pages[2].let_go();
    assert!(pages[2].hold_if_listed(class(32)) && pages[2].claim_all(class(32)));
    pages[2].close();
    assert!(!pages[2].is_listed() && group.hold_listed(class(32)).is_none());
    assert!(core::ptr::eq(group.claim_unused().unwrap(), pages[2]) && group.claim_unused().is_none());
}

#[test]
fn a_stale_reference_to_a_reopened_page_takes_nothing() {
    let group = Group::new();
    let page = open(&group, 64, 4);
    assert!(page.claim_all(class(64)));
    page.close();
    assert!(core::ptr::eq(open(&group, 128, 4), page));
    page.let_go();
    let free = page.free_count();
    assert!(page.take(class(64), 1).is_none() && page.take(class(64), WORD_BITS).is_none());
    assert!(!page.claim_all(class(64)));
    assert_eq!(page.free_count(), free, "what a stale reference claimed went back");
    assert!(page.is_listed(), "P4");
    assert!(!page.hold_if_listed(class(64)) && page.hold_if_listed(class(128)));
    page.assert_valid();
}

#[test]
fn a_late_giver_may_list_a_page_that_is_gone() {
    let group = Group::new();
    let page = open(&group, 64, 4);
    page.let_go();
    // Listed as a page of 64, closed without being held: what a giver does that was cut off before it listed the page.
    assert!(page.claim_all(class(64)));
    page.close();
    let other = open(&group, 128, 4);
    assert!(core::ptr::eq(other, page));
    assert!(group.hold_listed(class(64)).is_none());
    other.let_go();
    assert!(group.hold_listed(class(128)).is_some());
    other.assert_valid();
}

#[test]
fn large_blocks_are_claimed_once() {
    let group = Group::new();
    let page = group.claim_unused().unwrap();
    page.open_large(START, 9);
    assert!(page.is_large() && page.class().is_none());
    assert_eq!((page.slice_count(), page.locate(START)), (9, None));
    page.set_slice_count(4);
    assert_eq!(page.slice_count(), 4);
    assert!(!page.claim_large(START + Small::SLICE_SIZE), "does not start there");
    assert!(page.claim_large(START) && !page.claim_large(START), "freed twice");
    page.close();
    page.assert_valid();
}

#[test]
fn threads_take_and_give_without_losing_a_block() {
    const STEPS: usize = if cfg!(miri) { 40 } else { 30_000 };
    let group = Group::new();
    let page = open(&group, 24, 8);
    page.let_go();
    let count = page.block_count();
    let owned: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
    std::thread::scope(|scope| {
        for thread in 1..=3 {
            let (group, owned): (&PageGroup<Small>, _) = (&group, &owned);
            scope.spawn(move || {
                let class = class(24);
                for step in 0..STEPS {
                    let Some(page) = group.hold_listed(class) else { continue };
                    let batch = page.take(class, 1 + step % WORD_BITS);
                    page.let_go();
                    let Some(mut batch) = batch else { continue };
                    let mut bits = (0, 0);
                    while let Some(block) = batch.lowest() {
                        let index = (block.address() - START) / 24;
                        assert_eq!(owned[index].swap(thread, Ordering::Relaxed), 0, "block {index} has two owners");
                        assert_eq!(owned[index].swap(0, Ordering::Relaxed), thread);
                        let (word, bit) = page.locate(block.address()).unwrap();
                        bits = (word, bits.1 | 1 << bit);
                    }
                    assert!(!page.give(class, bits.0, bits.1).double);
                }
            });
        }
    });
    page.assert_valid();
    assert_eq!(page.free_count(), count);
    assert!(page.hold_if_listed(class(24)) && page.claim_all(class(24)));
}
