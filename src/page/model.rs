//! Models of the page protocol: take, give, list, hold, let go, retire, and stale references.

use core::array::from_fn;

use super::*;
use crate::sync::model::{Arc, explore, thread};

crate::geometry! {
    /// One page header, one word of blocks.
    struct Model {
        slice_size: 128, fit_candidates: 4, max_block: 128, page_size: 128, page_words: 1, pages_per_group: 1, room_words: 1, page_entry_bits: 32,
        magazine_slots: 0, magazine_bytes: 0, arena_size: 4096, arena_map: 1, grow_size: 4096,
    }
}

const START: usize = 4096;

fn class(size: usize) -> SizeClass {
    Model::class_of(size, 1).unwrap()
}

/// A group whose one page is open, with two blocks of 64 bytes, and held.
fn open_page() -> Arc<PageGroup<Model>> {
    let page = Page {
        group: AtomicPtr::new(core::ptr::null_mut()),
        start: AtomicUsize::new(0),
        reciprocal: AtomicU32::new(0),
        slice_count: AtomicU32::new(0),
        block_count: AtomicU16::new(0),
        class: AtomicU8::new(NONE),
        index: AtomicU8::new(0),
        held: AtomicBool::new(false),
        hint: AtomicU8::new(0),
        words: from_fn(|_| AtomicUsize::new(0)),
    };
    let group = Arc::new(PageGroup { pages: [page], room: from_fn(|_| AtomicUsize::new(0)), unused: AtomicUsize::new(0) });
    group.page(0).group.store(core::ptr::from_ref(&*group).cast_mut(), Ordering::Relaxed);
    group.page(0).open(class(64), START, 1);
    group
}

fn take_one(page: &Page<Model>, class: SizeClass) -> Option<usize> {
    page.take(class, 1).map(|mut batch| batch.lowest().unwrap().address())
}

fn give(page: &Page<Model>, class: SizeClass, address: usize) -> Given {
    let (word, bit) = page.locate(address).unwrap();
    page.give(class, word, 1 << bit)
}

/// Two takers get different blocks (P1).
#[test]
fn a_block_is_taken_once() {
    explore(|| {
        let group = open_page();
        let other = {
            let group = group.clone();
            thread::spawn(move || take_one(group.page(0), class(64)))
        };
        let mine = take_one(group.page(0), class(64));
        let theirs = other.join().unwrap();
        assert!(mine.is_some() && theirs.is_some() && mine != theirs);
        assert_eq!(group.page(0).free_count(), 0);
    });
}

/// A block that comes back while the page is let go: the page is listed, whoever was first (P4).
#[test]
fn a_page_with_room_is_never_lost() {
    explore(|| {
        let group = open_page();
        let block = take_one(group.page(0), class(64)).unwrap();
        let _ = take_one(group.page(0), class(64)).unwrap();
        let giver = {
            let group = group.clone();
            thread::spawn(move || give(group.page(0), class(64), block))
        };
        group.page(0).let_go();
        assert!(!giver.join().unwrap().double);
        assert!(group.page(0).is_listed() && !group.page(0).is_held());
    });
}

/// Two cores look for a listed page while a block comes back: what they hold they let go, and nothing is lost (P4).
#[test]
fn holders_and_givers() {
    explore(|| {
        let group = open_page();
        let block = take_one(group.page(0), class(64)).unwrap();
        let _ = take_one(group.page(0), class(64)).unwrap();
        group.page(0).let_go();
        let core = |group: &PageGroup<Model>| {
            group.hold_listed(class(64)).map(|page| {
                let taken = take_one(page, class(64));
                page.let_go();
                taken
            })
        };
        let other = {
            let group = group.clone();
            thread::spawn(move || core(&group).flatten())
        };
        give(group.page(0), class(64), block);
        let mine = core(&group).flatten();
        let theirs = other.join().unwrap();
        assert!(mine.is_none() || theirs.is_none(), "one block, taken twice");
        let page = group.page(0);
        assert_eq!(page.free_count(), if mine.or(theirs).is_some() { 0 } else { 1 });
        assert!(page.free_count() == 0 || page.is_listed(), "free blocks that nobody can find");
    });
}

/// Retiring an empty page against a taker: exactly one of them has it.
#[test]
fn retire_against_take() {
    explore(|| {
        let group = open_page();
        let taker = {
            let group = group.clone();
            thread::spawn(move || take_one(group.page(0), class(64)))
        };
        let retired = group.page(0).claim_all(class(64));
        if retired {
            group.page(0).close();
        } else {
            group.page(0).let_go();
        }
        let taken = taker.join().unwrap();
        assert!(!(retired && taken.is_some()), "a block of a retired page");
        if !retired {
            let page = group.page(0);
            assert_eq!(page.free_count(), if taken.is_some() { 1 } else { 2 });
            assert!(page.is_listed());
        }
    });
}

/// A context that still thinks of the page as one of 64-byte blocks, while it is opened for 32-byte blocks: it gets nothing, and
/// gives back what it claimed by mistake (P3).
#[test]
fn a_stale_reference_is_harmless() {
    explore(|| {
        let group = open_page();
        let stale = {
            let group = group.clone();
            thread::spawn(move || {
                let page = group.page(0);
                let taken = take_one(page, class(64));
                // It believed to hold the page, so it lets go as well.
                page.let_go();
                taken
            })
        };
        let page = group.page(0);
        let retired = page.claim_all(class(64));
        if retired {
            page.close();
            let page = group.claim_unused().unwrap();
            page.open(class(32), START, 1);
            page.let_go();
        }
        let taken = stale.join().unwrap();
        if retired {
            assert_eq!(taken, None, "a block of another class");
            assert_eq!(page.free_count(), 4);
            assert!(page.is_listed());
        }
    });
}

/// Two contexts that both hold the page try to retire it, one after reopening: no page is retired twice.
#[test]
fn one_of_two_holders_retires() {
    explore(|| {
        let group = open_page();
        let retire = |group: &PageGroup<Model>| {
            let won = group.page(0).claim_all(class(64));
            if won {
                group.page(0).close();
            } else {
                group.page(0).let_go();
            }
            won
        };
        let other = {
            let group = group.clone();
            thread::spawn(move || retire(&group))
        };
        let mine = retire(&group);
        let theirs = other.join().unwrap();
        assert!(!(mine && theirs));
        let page = group.page(0);
        assert!(mine || theirs || (page.free_count() == 2 && page.is_listed()), "an empty page that nobody can find");
        assert_eq!(group.claim_unused().is_some(), mine || theirs);
    });
}

/// A taken block goes back while the last one comes back from elsewhere.
#[test]
fn giving_back() {
    explore(|| {
        let group = open_page();
        let block = take_one(group.page(0), class(64)).unwrap();
        let giver = {
            let group = group.clone();
            thread::spawn(move || give(group.page(0), class(64), block))
        };
        if let Some(taken) = take_one(group.page(0), class(64)) {
            give(group.page(0), class(64), taken);
        }
        group.page(0).let_go();
        giver.join().unwrap();
        assert_eq!(group.page(0).free_count(), 2);
        assert!(group.page(0).is_listed());
    });
}
