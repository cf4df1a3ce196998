//! Models of the states of a page: the changes of the table in `page.rs`, each against those that may come in between.
//!
//! What a context writes into a block or a header is in cells, so that a model fails as well where two have the same one, or one does not see
//! what the one before wrote.

use core::array::from_fn;

use super::*;
use crate::base::sync::array_of;
use crate::base::sync::model::{Arc, UnsafeCell, explore, explore_up_to, thread};

crate::geometry! {
    /// One page header, up to two words of blocks; all classes share a room word.
    pub struct Model {
        slice_size: 128, max_block: 128, page_size: 1024, arena_size: 4096, magazine_slots: 0,
        page_words: 2, pages_per_group: 1, listed_words: 1, page_entry_bits: 32, grow_size: 4096, fit_candidates: 4,
    }
}

pub const START: usize = 4096;
/// Two blocks, in one word.
pub const BIG: usize = 64;
/// Four blocks.
const OTHER: usize = 32;
/// More blocks than a word has bits.
pub const SMALL: usize = 8;
pub const SMALL_SLICES: usize = if WORD_BITS == 64 { 5 } else { 3 };

pub fn class(size: usize) -> SizeClass {
    Model::class_of(size, 1).unwrap()
}

/// A group with one header, and the memory of its page.
pub struct World {
    pub group: PageGroup<Model>,
    /// What the program writes, a cell for each granule.
    memory: [UnsafeCell<usize>; SMALL_SLICES * Model::SLICE_SIZE / SMALL],
    /// What stands for the fields of the header, which are atomics: size of its blocks.
    header: UnsafeCell<usize>,
}

/// Blocks, and what they are part of; whoever has them writes into them.
pub struct Taken {
    size: usize,
    blocks: std::vec::Vec<usize>,
}

impl World {
    /// The header is claimed.
    pub fn new() -> Arc<World> {
        let page = Page {
            group: AtomicPtr::new(core::ptr::null_mut()),
            start: AtomicUsize::new(0),
            reciprocal: AtomicU32::new(0),
            slice_count: AtomicU32::new(0),
            state: StateWord::new(State::FIRST.next_claim()),
            block_count: AtomicU16::new(0),
            index: AtomicU8::new(0),
            hint: AtomicU8::new(0),
            words: from_fn(|_| AtomicUsize::new(0)),
        };
        let world = Arc::new(World {
            group: PageGroup { pages: [page], listed: from_fn(|_| AtomicUsize::new(0)), unused: AtomicUsize::new(0) },
            memory: array_of!(UnsafeCell::new(0)),
            header: UnsafeCell::new(0),
        });
        world.page().group.store(core::ptr::from_ref(&world.group).cast_mut(), Ordering::Relaxed);
        world
    }

    /// The page is open for this size, and held.
    pub fn open_for(size: usize) -> Arc<World> {
        let world = World::new();
        world.open(size);
        world
    }

    pub fn page(&self) -> &Page<Model> {
        self.group.page(0)
    }

    /// Opens the claimed header.
    pub fn open(&self, size: usize) {
        // SAFETY: who claimed the header has it alone; the model checks that.
        self.header.with_mut(|header| unsafe { header.write(size) });
        self.page().open(class(size), START, if size == SMALL { SMALL_SLICES } else { 1 });
    }

    /// Writes into a block that this context has.
    fn write(&self, address: usize) {
        // SAFETY: the model checks that nobody else has it.
        self.memory[(address - START) / SMALL].with_mut(|block| unsafe { block.write(address) });
    }

    /// Takes up to `want` blocks; gives back what is none of this size.
    pub fn take(&self, size: usize, want: usize) -> Option<Taken> {
        match self.page().take(class(size), want)? {
            Ok(mut batch) => {
                // SAFETY: nobody writes a header while a block is out (P2); the model checks that.
                assert_eq!(self.header.with(|header| unsafe { header.read() }), size, "blocks of another page");
                let blocks: std::vec::Vec<usize> = from_batch(&mut batch).collect();
                blocks.iter().for_each(|address| self.write(*address));
                Some(Taken { size, blocks })
            }
            Err(stray) => {
                self.after(self.page().give(stray.word, stray.bits));
                None
            }
        }
    }

    /// Takes all blocks of the page.
    fn take_all(&self, size: usize) -> std::vec::Vec<Taken> {
        core::iter::from_fn(|| self.take(size, WORD_BITS)).collect()
    }

    /// Gives blocks of one word back; if that was the last of the page, retires it. Whether it did.
    fn give(&self, taken: Taken) -> bool {
        // SAFETY: as in `take`.
        assert_eq!(self.header.with(|header| unsafe { header.read() }), taken.size, "a page changed while a block was out");
        let first = taken.blocks[0];
        let (word, bit) = self.page().locate(first).unwrap();
        let mut bits = 0;
        for address in &taken.blocks {
            self.write(*address);
            bits |= 1 << (bit + (address - first) / taken.size);
        }
        let given = self.page().give(word, bits);
        assert!(!given.double);
        self.after(given)
    }

    fn after(&self, given: Given) -> bool {
        given.emptied.is_some_and(|emptied| self.page().hold(emptied)) && self.let_go()
    }

    /// Ends a hold, as the heap does; whether the page was retired.
    fn let_go(&self) -> bool {
        loop {
            if self.page().claim_all() {
                // SAFETY: as in `open`.
                self.header.with_mut(|header| unsafe { header.write(0) });
                self.page().close();
                return true;
            }
            if self.page().let_go() {
                return false;
            }
        }
    }

    fn hold_listed(&self, size: usize) -> bool {
        self.group.hold_listed(class(size)).is_some()
    }

    /// Checks P1, P4 and P5, and that so many blocks are free in an open page; `None` if it was retired.
    fn assert_free(&self, free: Option<usize>) {
        let page = self.page();
        page.assert_valid();
        match free {
            Some(free) => assert_eq!((page.free_count(), page.class().is_some()), (free, true)),
            None => assert_eq!((page.state.load().phase(), self.group.claim_unused().is_some()), (Phase::Unused, true)),
        }
    }
}

fn from_batch(batch: &mut Batch) -> impl Iterator<Item = usize> {
    core::iter::from_fn(|| batch.lowest()).map(|block| block.address())
}

/// Runs these beside each other on one world; returns what they return.
pub fn beside<A: Send + 'static, B>(
    world: &Arc<World>,
    one: impl FnOnce(&World) -> A + Send + 'static,
    other: impl FnOnce(&World) -> B,
) -> (A, B) {
    let theirs = world.clone();
    let thread = thread::spawn(move || one(&theirs));
    let result = other(world);
    (thread.join().unwrap(), result)
}

/// Two takers get different blocks (P1).
#[test]
fn a_block_is_taken_once() {
    explore(|| {
        let world = World::open_for(BIG);
        let (mine, theirs) = beside(&world, |world| world.take(BIG, 1), |world| world.take(BIG, 1));
        assert_ne!(mine.unwrap().blocks, theirs.unwrap().blocks);
        world.assert_free(Some(0));
    });
}

/// What the last owner wrote into a block comes before what the next one writes.
#[test]
fn a_block_goes_from_hand_to_hand() {
    explore(|| {
        let world = World::open_for(BIG);
        let (_, block) = (world.take(BIG, 1), world.take(BIG, 1).unwrap());
        let give = move |world: &World| world.give(block);
        let (_, taken) = beside(&world, give, |world| world.take(BIG, 1));
        world.assert_free(Some(if taken.is_some() { 0 } else { 1 }));
    });
}

/// A block comes back while the page is let go: the page is listed, whoever was first (P4).
#[test]
fn let_go_against_give() {
    explore(|| {
        let world = World::open_for(BIG);
        let (block, _) = (world.take(BIG, 1).unwrap(), world.take(BIG, 1).unwrap());
        let retired = beside(&world, move |world| world.give(block), |world| world.let_go());
        assert_eq!(retired, (false, false));
        world.assert_free(Some(1));
        assert!(world.hold_listed(BIG));
    });
}

/// The last block comes back while the page is let go: one of both retires it (P5).
#[test]
fn let_go_against_the_last_give() {
    explore(|| {
        let world = World::open_for(BIG);
        let block = world.take(BIG, 1).unwrap();
        let (giver, holder) = beside(&world, move |world| world.give(block), |world| world.let_go());
        assert!(giver != holder, "retired once");
        world.assert_free(None);
    });
}

/// Two blocks of a page that had none come back: one giver lists it (P4), and the last one retires it (P5), whoever that is.
#[test]
fn give_against_give() {
    explore(|| {
        let world = World::open_for(BIG);
        let (one, other) = (world.take(BIG, 1).unwrap(), world.take(BIG, 1).unwrap());
        assert!(!world.let_go());
        let (one, other) = beside(&world, move |world| world.give(one), |world| world.give(other));
        assert!(one != other, "retired once");
        world.assert_free(None);
    });
}

/// The same, of two words: each giver sees one of them.
#[test]
fn give_against_give_of_another_word() {
    explore(|| {
        let world = World::open_for(SMALL);
        let mut all = world.take_all(SMALL);
        let (one, other) = (all.pop().unwrap(), all.pop().unwrap());
        assert!(all.is_empty() && !world.let_go());
        let (one, other) = beside(&world, move |world| world.give(one), |world| world.give(other));
        assert!(one != other, "retired once");
        world.assert_free(None);
    });
}

/// Two cores look for a listed page while a block comes back: one holds it, and nothing is lost (P3, P4).
#[test]
fn hold_against_hold_and_give() {
    explore(|| {
        let world = World::open_for(BIG);
        let (block, _) = (world.take(BIG, 1).unwrap(), world.take(BIG, 1).unwrap());
        assert!(!world.let_go());
        let core = |world: &World| {
            world.hold_listed(BIG).then(|| {
                let taken = world.take(BIG, 1);
                assert!(!world.let_go());
                taken.is_some()
            })
        };
        let theirs = {
            let world = world.clone();
            thread::spawn(move || core(&world))
        };
        assert!(!world.give(block));
        let (mine, theirs) = (core(&world), theirs.join().unwrap());
        let taken = [mine, theirs].iter().filter(|taken| **taken == Some(true)).count();
        assert!(taken <= 1, "one block, taken twice");
        world.assert_free(Some(1 - taken));
        assert!(taken == 1 || world.hold_listed(BIG));
    });
}

/// A search holds the page while its last block comes back: it retires the page, or the giver does (P5).
#[test]
fn hold_against_the_last_give() {
    explore(|| {
        let world = World::open_for(BIG);
        let block = world.take(BIG, 1).unwrap();
        assert!(!world.let_go());
        let search = |world: &World| world.hold_listed(BIG) && world.let_go();
        let (searcher, giver) = beside(&world, search, |world| world.give(block));
        assert!(searcher != giver, "retired once");
        world.assert_free(None);
    });
}

/// Retiring an empty page against who takes from it without holding it: exactly one of them has it.
#[test]
fn retire_against_take() {
    explore(|| {
        for size in [BIG, SMALL] {
            let world = World::open_for(size);
            let (taken, retired) = beside(&world, move |world| world.take(size, 1), |world| world.let_go());
            assert!(taken.is_some() != retired);
            world.assert_free(if retired { None } else { Some(world.page().block_count() - 1) });
        }
    });
}

/// The same, and the block goes back at once: who comes last retires the page (P5).
#[test]
fn retire_against_take_and_give() {
    explore(|| {
        let world = World::open_for(BIG);
        let visit = |world: &World| world.take(BIG, 1).is_some_and(|taken| world.give(taken));
        let (visitor, holder) = beside(&world, visit, |world| world.let_go());
        assert!(visitor != holder, "retired once");
        world.assert_free(None);
    });
}

/// A context that thinks of the page as one of another class, while it is retired and opened anew: it gets nothing, and gives back what it
/// claimed by mistake (P3).
#[test]
fn reopen_against_take() {
    explore_up_to(3, || {
        let world = World::open_for(BIG);
        let reopen = |world: &World| {
            world.let_go() && world.group.claim_unused().is_some() && {
                world.open(OTHER);
                world.let_go()
            }
        };
        let (taken, retired) = beside(&world, |world| world.take(BIG, 1), reopen);
        // An empty page, when it is let go, or when the late one gives back: it is retired in either case (P5).
        assert!(taken.is_none() || !retired);
        world.assert_free(taken.map(|_| 1));
    });
}

/// A page is opened, filled and listed by one core, found by another, emptied, retired, opened for blocks of another size, of more words, and
/// all of these are handed out. Whatever the first one still does, no block that is out becomes free.
#[test]
fn reopen_against_open() {
    explore(|| {
        let world = World::new();
        let open = |world: &World| {
            world.open(BIG);
            let block = world.take(BIG, 1);
            // Taken by who holds the page meanwhile, if somebody could.
            block.map(|block| (world.let_go(), world.give(block)))
        };
        let other = |world: &World| {
            if !world.hold_listed(BIG) || !world.let_go() || world.group.claim_unused().is_none() {
                return None;
            }
            world.open(SMALL);
            let taken = world.take_all(SMALL);
            let _ = world.let_go();
            Some(taken)
        };
        let (_, taken) = beside(&world, open, other);
        if let Some(taken) = taken {
            let blocks: usize = taken.iter().map(|taken| taken.blocks.len()).sum();
            assert_eq!((blocks, world.page().free_count()), (world.page().block_count(), 0), "a block that is out is free");
            taken.into_iter().flat_map(|taken| taken.blocks).for_each(|address| world.write(address));
        }
    });
}

/// The header of a page that was retired is another one's, who sees all of what was written into it.
#[test]
fn close_against_claim() {
    explore(|| {
        let world = World::open_for(BIG);
        let claim = |world: &World| {
            world.group.claim_unused().is_some_and(|_| {
                world.open(SMALL);
                true
            })
        };
        let (opened, retired) = beside(&world, claim, |world| world.let_go());
        assert!(retired);
        world.assert_free(if opened { Some(world.page().block_count()) } else { None });
    });
}

/// A large block is freed, by mistake twice, and waits; meanwhile another context looks whether it waits, and hands it out again. Each time one has it.
#[test]
fn a_large_block_that_waits_is_one_contexts() {
    explore(|| {
        let world = World::new();
        // What stands for the magazine: whether the block is inside.
        let waits = Arc::new(AtomicUsize::new(0));
        world.page().open_large(START, 3);
        let frees = [0, 1].map(|_| {
            let (world, waits) = (world.clone(), waits.clone());
            thread::spawn(move || {
                let is_freed = world.page().claim_large(START);
                if is_freed {
                    // SAFETY: the model checks that this context has the header alone.
                    world.header.with_mut(|header| unsafe { header.write(0) });
                    world.page().begin_waiting();
                    // loom lets a plain store slip in between the two halves of another context's swap.
                    waits.swap(1, Ordering::Release);
                }
                usize::from(is_freed)
            })
        });
        let taken = waits.swap(0, Ordering::Acquire);
        if taken == 1 {
            // SAFETY: as above.
            world.header.with_mut(|header| unsafe { header.write(1) });
            world.page().reopen_large();
        }
        let freed: usize = frees.into_iter().map(|free| free.join().unwrap()).sum();
        let waiting = waits.load(Ordering::Acquire);
        assert_eq!(freed, taken + waiting);
        assert_eq!((world.page().is_waiting(), world.page().is_large()), (waiting == 1, waiting == 0));
    });
}

/// A large block that is freed twice is freed once.
#[test]
fn a_large_block_is_claimed_once() {
    explore(|| {
        let world = World::new();
        world.page().open_large(START, 3);
        let free = |world: &World| {
            world.page().claim_large(START) && {
                // SAFETY: as in `open`.
                world.header.with_mut(|header| unsafe { header.write(0) });
                world.page().close();
                true
            }
        };
        let (one, other) = beside(&world, free, free);
        assert!(one != other);
        world.assert_free(None);
    });
}
