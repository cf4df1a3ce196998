use super::*;
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::vec::Vec;

crate::geometry! {
    /// A page has up to two words of blocks; classes share room words.
    struct Small {
        slice_size: 256, max_block: 512, page_size: 1024, arena_size: 65536, magazine_slots: 0,
        page_words: 2, pages_per_group: 5, listed_words: 3, page_entry_bits: 32, grow_size: 4096, fit_candidates: 4,
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

/// Takes one block of a page of this class.
fn take(page: &Page<Small>, class: SizeClass) -> Option<usize> {
    page.take(class, 1)?.expect("of this class").lowest().map(|block| block.address())
}

/// Takes all blocks of a page of this class, a word of them at a time.
fn take_all(page: &Page<Small>, class: SizeClass) -> Vec<usize> {
    let mut addresses = Vec::new();
    while let Some(batch) = page.take(class, WORD_BITS) {
        let mut batch = batch.expect("of this class");
        addresses.extend(core::iter::from_fn(|| batch.lowest()).map(|block| block.address()));
    }
    addresses
}

/// Each of a page's blocks; under Miri those that are the first or last ones of a word, and its last one.
fn each_of(blocks: &[usize]) -> impl Iterator<Item = usize> {
    let edges = [0, 1, WORD_BITS - 1, WORD_BITS, blocks.len() - 1];
    let is_one = move |(index, _): &(usize, &usize)| !cfg!(miri) || edges.contains(index);
    blocks.iter().enumerate().filter(is_one).map(|(_, block)| *block)
}

fn give(page: &Page<Small>, address: usize) -> Shown {
    let (word, bit) = page.locate(address).unwrap();
    give_bits(page, word, 1 << bit)
}

/// Gives blocks back, and holds the page if it is empty then.
fn give_bits(page: &Page<Small>, word: usize, bits: usize) -> Shown {
    let given = page.give(word, bits);
    Shown { double: given.double, held: given.emptied.is_some_and(|emptied| page.hold(emptied)) }
}

/// What giving back showed.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    double: bool,
    held: bool,
}

fn phase(page: &Page<Small>) -> Phase {
    page.state.load().phase()
}

/// What giving back shows, if it is neither a double free nor the last block.
const FINE: Shown = Shown { double: false, held: false };

#[test]
fn a_fresh_page_gives_each_block_once() {
    let group = Group::new();
    for (size, slices) in [(8, 4), (24, 3), (48, 4), (512, 8), (104, 4)] {
        let page = open(&group, size, slices);
        let size = class(size).block_size();
        let count = (slices * Small::SLICE_SIZE / size).min(Small::PAGE_BLOCKS);
        assert_eq!((page.block_count(), page.free_count(), page.start(), page.slice_count()), (count, count, START, slices));
        assert_eq!(phase(page), Phase::Held);
        let addresses: Vec<_> = core::iter::from_fn(|| take(page, class(size))).collect();
        assert_eq!(addresses, (0..count).map(|index| START + index * size).collect::<Vec<_>>());
        assert_eq!((page.take(class(size), 1), page.free_count()), (None, 0));
        assert!(page.let_go());
        assert_eq!(phase(page), Phase::Full);
        page.assert_valid();
        let (last, others) = addresses.split_last().unwrap();
        for address in others {
            assert_eq!(give(page, *address), FINE);
            assert_eq!(phase(page), Phase::Listed, "the first block that comes back lists it");
            if !cfg!(miri) {
                page.assert_valid();
            }
        }
        page.assert_valid();
        assert_eq!(give(page, *last), Shown { double: false, held: true });
        assert_eq!(phase(page), Phase::Held, "by who gave the last block back");
        assert!(page.claim_all());
        page.close();
        page.assert_valid();
    }
}

#[test]
fn a_batch_is_of_one_word_and_as_big_as_wanted() {
    let group = Group::new();
    let page = open(&group, 8, 4);
    let count = |want| {
        let mut batch = page.take(class(8), want)?.unwrap();
        Some(core::iter::from_fn(|| batch.lowest()).map(|block| block.address()).collect::<Vec<_>>())
    };
    assert_eq!(count(3).unwrap(), [START, START + 8, START + 16]);
    assert_eq!(count(usize::MAX).unwrap().len(), WORD_BITS - 3);
    assert_eq!(count(WORD_BITS).unwrap().len(), (4 * Small::SLICE_SIZE / 8).min(2 * WORD_BITS) - WORD_BITS);
    assert_eq!(count(1), None);
}

#[test]
fn free_blocks_are_found_wherever_the_hint_leads() {
    let group = Group::new();
    let page = open(&group, 8, 4);
    let addresses = take_all(page, class(8));
    for address in each_of(&addresses) {
        // Of a page that was longer, too.
        for hint in 0..4 {
            assert_eq!(give(page, address), FINE);
            page.hint.store(hint, Ordering::Relaxed);
            assert_eq!(take(page, class(8)), Some(address), "the hint is {hint}");
            page.hint.store(hint, Ordering::Relaxed);
            assert_eq!(take(page, class(8)), None);
        }
    }
    // The last one was in the last word; a fresh page begins at its first.
    addresses.iter().for_each(|address| _ = give(page, *address));
    assert!(page.claim_all());
    page.close();
    assert_eq!(take(open(&group, 8, 4), class(8)), Some(START));
}

#[test]
fn a_word_of_blocks_spans_its_blocks() {
    let group = Group::new();
    for size in [8, 24, 512] {
        let page = open(&group, size, if size == 24 { 8 } else { 4 });
        for address in each_of(&take_all(page, class(size))) {
            let (word, bit) = page.locate(address).unwrap();
            for other in 0..page.word_count() {
                let found = page.word_blocks(class(size), other).bit(address);
                assert_eq!(found, (other == word).then_some(Ok(bit)), "{address:#x} in word {other}");
            }
            assert!(!page.is_free(word, bit));
            assert_eq!(give(page, address), FINE);
            assert!(page.is_free(word, bit));
            assert_eq!(take(page, class(size)), Some(address));
        }
        let end = START + page.block_count() * size;
        assert!((0..page.word_count()).all(|word| page.word_blocks(class(size), word).bit(end).is_none()), "behind the last");
    }
}

#[test]
fn giving_a_free_block_is_seen() {
    let group = Group::new();
    let page = open(&group, 64, 4);
    let address = take(page, class(64)).unwrap();
    let other = take(page, class(64)).unwrap();
    assert!(!give(page, address).double);
    assert!(give(page, address).double, "given twice");
    assert!(give(page, START + 10 * 64).double, "never taken");
    let (word, bits) = (page.locate(other).unwrap().0, 0b11);
    assert!(give_bits(page, word, bits).double, "one of two");
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
        for block in (0..blocks).step_by(if cfg!(miri) { 9 } else { 1 }) {
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
        assert!(page.claim_all());
        page.close();
        assert_eq!(page.locate(START), None, "a closed page has no blocks");
    }
}

#[test]
fn a_listed_page_is_held_once_and_listed_again() {
    let group = Group::new();
    let page = open(&group, 64, 4);
    assert!(group.hold_listed(class(64)).is_none() && page.is_held(), "held, hence not listed");
    let address = take(page, class(64)).unwrap();
    assert!(page.let_go());
    assert!(phase(page) == Phase::Listed && !page.is_held());
    assert!(group.hold_listed(class(128)).is_none(), "of another class");
    let held = group.hold_listed(class(64)).unwrap();
    assert!(core::ptr::eq(held, page));
    assert_eq!((phase(page), group.listed(class(64)).load(Ordering::Relaxed)), (Phase::Held, 0));
    assert!(group.hold_listed(class(64)).is_none() && !page.hold_listed(class(64)), "held once");
    let other = take(held, class(64)).unwrap();
    assert_eq!(give(held, other), FINE);
    assert_eq!(phase(page), Phase::Held, "the holder lists it, not the giver");
    assert!(held.let_go());
    assert!(!page.hold_listed(class(128)), "not as a page of another class");
    assert!(page.hold_listed(class(64)));
    assert_eq!(give(page, address), FINE);
    assert_eq!(phase(page), Phase::Held, "the holder gives an empty page back, not the giver");
    assert!(!page.let_go(), "all blocks are free");
    assert!(page.claim_all());
}

#[test]
fn a_page_without_free_blocks_is_held_by_who_gives_all_of_them_back() {
    let group = Group::new();
    let page = open(&group, 512, 4);
    let addresses = take_all(page, class(512));
    assert!(page.let_go());
    let word = page.locate(addresses[0]).unwrap().0;
    let bits = addresses.iter().fold(0, |bits, address| bits | 1 << page.locate(*address).unwrap().1);
    assert_eq!(give_bits(page, word, bits), Shown { double: false, held: true });
    assert_eq!(group.listed(class(512)).load(Ordering::Relaxed), 0, "nobody looks for it");
    assert!(page.claim_all());
}

#[test]
fn classes_that_share_a_room_word_do_not_get_in_each_others_way() {
    let group = Group::new();
    let sizes: Vec<usize> = (0..5).map(|index| SizeClass::from_index(index * 3).block_size()).collect();
    for size in &sizes {
        let page = open(&group, *size, 2);
        let _ = take(page, class(*size));
        assert!(page.let_go());
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
    // Of two words, and of one.
    for size in [8, 512] {
        for missing in [0, 1] {
            let page = open(&group, size, 4);
            let addresses = take_all(page, class(size));
            // A block of the first word, or of the last: what was claimed of the words before it goes back.
            let out = addresses[missing * (addresses.len() - 1)];
            let out_of = page.locate(out).unwrap();
            for word in 0..page.word_count() {
                let bits = page.full(word) & !if word == out_of.0 { 1 << out_of.1 } else { 0 };
                assert!(bits == 0 || give_bits(page, word, bits) == FINE);
            }
            // The second as if the block had been taken between its look at the words and its claim.
            for claim in [Page::claim_all, Page::claim_words] {
                assert!(!claim(page));
                assert_eq!((page.free_count(), phase(page)), (page.block_count() - 1, Phase::Held));
            }
            assert_eq!(give(page, out), FINE);
            assert!(page.claim_all());
            assert_eq!((page.free_count(), phase(page), page.class()), (0, Phase::Claimed, None));
            assert_eq!(page.take(class(size), 1), None);
            page.close();
        }
    }
}

#[test]
fn a_closed_header_is_used_again() {
    let group = Group::new();
    for page in group.pages() {
        assert_eq!((phase(page), page.class()), (Phase::Unused, None), "one that was never claimed");
    }
    let pages: Vec<_> = core::iter::from_fn(|| group.claim_unused()).collect();
    assert_eq!(pages.len(), group.pages().len());
    for (index, page) in pages.iter().enumerate() {
        assert_eq!(page.id(3), 3 * WORD_BITS + index);
        assert_eq!((page.class(), page.is_large(), phase(page)), (None, false, Phase::Claimed));
    }
    pages[2].open(class(32), START, 2);
    assert!(pages[2].claim_all());
    pages[2].close();
    assert_eq!(phase(pages[2]), Phase::Unused);
    assert!(group.hold_listed(class(32)).is_none());
    assert!(core::ptr::eq(group.claim_unused().unwrap(), pages[2]) && group.claim_unused().is_none());
}

#[test]
fn who_takes_from_another_page_than_it_thinks_gives_it_back() {
    let group = Group::new();
    let page = open(&group, 64, 4);
    assert!(page.claim_all());
    page.close();
    assert!(core::ptr::eq(open(&group, 128, 4), page));
    let mine = take(page, class(128)).unwrap();
    assert!(page.let_go());
    // By a reference to the page of 64 that was here.
    for want in [1, WORD_BITS] {
        let stray = page.take(class(64), want).unwrap().expect_err("of another class");
        assert_eq!(page.free_count() + stray.bits.count_ones() as usize, page.block_count() - 1);
        assert_eq!(give_bits(page, stray.word, stray.bits), FINE);
    }
    page.assert_valid();
    // Whose other blocks all come back meanwhile: it is the last giver.
    let stray = page.take(class(64), 1).unwrap().expect_err("of another class");
    assert_eq!(give(page, mine), FINE);
    assert_eq!(give_bits(page, stray.word, stray.bits), Shown { double: false, held: true });
    assert!(page.claim_all());
}

#[test]
fn a_late_look_changes_no_other_page() {
    let group = Group::new();
    let page = open(&group, 64, 4);
    let late = page.state.load();
    assert!(page.claim_all());
    page.close();
    let other = open(&group, 128, 4);
    assert!(core::ptr::eq(other, page));
    let addresses = take_all(other, class(128));
    assert!(other.let_go());
    other.list_if_full(late);
    assert!(!other.hold(Emptied(late)));
    assert_eq!(phase(other), Phase::Full, "of another claim");
    assert!(!give(other, addresses[0]).held);
    assert!(!other.hold(Emptied(late)));
    assert_eq!(phase(other), Phase::Listed);
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
    const STEPS: usize = if cfg!(miri) { 20 } else { 30_000 };
    let group = Group::new();
    let page = open(&group, 24, 8);
    // Stays out, so that the page stays open.
    let first = take(page, class(24)).unwrap();
    assert!(page.let_go());
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
                    assert!(page.let_go());
                    let Some(Ok(mut batch)) = batch else { continue };
                    let mut bits = (0, 0);
                    while let Some(block) = batch.lowest() {
                        let index = (block.address() - START) / 24;
                        assert_eq!(owned[index].swap(thread, Ordering::Relaxed), 0, "block {index} has two owners");
                        assert_eq!(owned[index].swap(0, Ordering::Relaxed), thread);
                        let (word, bit) = page.locate(block.address()).unwrap();
                        bits = (word, bits.1 | 1 << bit);
                    }
                    assert_eq!(give_bits(page, bits.0, bits.1), FINE);
                }
            });
        }
    });
    page.assert_valid();
    assert_eq!(page.free_count(), count - 1);
    assert!(give(page, first).held && page.claim_all());
}
