//! The work: blocks are allocated, freed and reallocated at random, while their number stays between two bounds.

use alloc::alloc::{alloc, dealloc, realloc};
use core::alloc::Layout;
use core::cell::UnsafeCell;
use core::hint::black_box;
use core::ops::Range;

use arrayvec::ArrayVec;
use oorandom::Rand32;

/// What is done to an allocator.
struct Work {
    /// Bytes of a block.
    sizes: Range<u32>,
    /// Whether a quarter of the blocks is to be aligned to more than 8 bytes.
    is_aligned: bool,
    /// How many blocks are live.
    live: Range<usize>,
    /// Whether a fifth of the actions are reallocations.
    reallocates: bool,
}

/// More are never live.
const MOST: usize = 4096;

/// The works, by number: `WORKS` in the host's `work.rs` names them.
const WORKS: [Work; 4] = [
    // What talc measures itself by: the number of blocks walks up and down, from 50 on.
    Work { sizes: 1..10_001, is_aligned: true, live: 50..MOST, reallocates: false },
    Work { sizes: 1..10_001, is_aligned: true, live: 50..MOST, reallocates: true },
    // What most programs are made of.
    Work { sizes: 8..513, is_aligned: false, live: 32..96, reallocates: false },
    Work { sizes: 8..513, is_aligned: false, live: 500..1500, reallocates: false },
];

type Block = (*mut u8, Layout);

/// A work that was begun.
struct Begun {
    work: &'static Work,
    random: Rand32,
    blocks: ArrayVec<Block, MOST>,
    /// Bytes, and how many there were at most.
    live: usize,
    most: usize,
}

struct OneThread(UnsafeCell<Option<Begun>>);

// SAFETY: the module has one thread.
unsafe impl Sync for OneThread {}

static BEGUN: OneThread = OneThread(UnsafeCell::new(None));

/// Begins a work.
#[unsafe(export_name = "begin")]
pub extern "C" fn begin(work: usize, seed: u32) {
    let random = Rand32::new(seed.into());
    // SAFETY: nobody else uses it now.
    unsafe { *BEGUN.0.get() = Some(Begun { work: &WORKS[work], random, blocks: ArrayVec::new(), live: 0, most: 0 }) };
}

/// Goes on with so many actions.
#[unsafe(export_name = "go_on")]
pub extern "C" fn go_on(actions: u32) {
    // SAFETY: nobody else uses it now.
    let begun = unsafe { &mut *BEGUN.0.get() }.as_mut().expect("a work was begun");
    (0..actions).for_each(|_| begun.act());
}

/// Frees all; how many bytes were live at most.
#[unsafe(export_name = "end")]
pub extern "C" fn end() -> usize {
    // SAFETY: nobody else uses it now.
    let begun = unsafe { &mut *BEGUN.0.get() }.take().expect("a work was begun");
    for (block, layout) in begun.blocks {
        // SAFETY: it is live, and was allocated with this layout.
        unsafe { dealloc(block, layout) };
    }
    begun.most
}

impl Begun {
    #[inline(always)]
    fn act(&mut self) {
        let Begun { work, random, blocks, .. } = self;
        match work.next(blocks.len(), random) {
            Action::Allocate => {
                let layout = work.layout(random);
                // SAFETY: sizes are not 0.
                blocks.push((written(unsafe { alloc(layout) }), layout));
                self.live += layout.size();
            }
            Action::Free => {
                let (block, layout) = blocks.swap_remove(below(blocks.len(), random));
                // SAFETY: it is live, and was allocated with this layout.
                unsafe { dealloc(block, layout) };
                self.live -= layout.size();
            }
            Action::Reallocate => {
                let index = below(blocks.len(), random);
                let (block, layout) = &mut blocks[index];
                let size = random.rand_range(work.sizes.clone()) as usize;
                self.live = self.live + size - layout.size();
                // SAFETY: it is live, was allocated with this layout, and the new size is far from the biggest.
                unsafe {
                    *block = written(realloc(*block, *layout, size));
                    *layout = Layout::from_size_align_unchecked(size, layout.align());
                }
            }
        }
        self.most = self.most.max(self.live);
    }
}

enum Action {
    Allocate,
    Free,
    Reallocate,
}

impl Work {
    fn next(&self, live: usize, random: &mut Rand32) -> Action {
        if live < self.live.start {
            return Action::Allocate;
        }
        if live == self.live.end {
            return Action::Free;
        }
        match random.rand_range(0..if self.reallocates { 5 } else { 4 }) {
            0 | 1 => Action::Allocate,
            2 | 3 => Action::Free,
            _ => Action::Reallocate,
        }
    }

    fn layout(&self, random: &mut Rand32) -> Layout {
        let size = random.rand_range(self.sizes.clone()) as usize;
        // Three quarters 8, three quarters of the others 16, and so on.
        let align = if self.is_aligned { 8 << ((random.rand_u32() as u16).trailing_zeros() / 2) } else { 8 };
        // SAFETY: a power of two of at most 2,048, and a small size.
        unsafe { Layout::from_size_align_unchecked(size, align) }
    }
}

fn below(bound: usize, random: &mut Rand32) -> usize {
    random.rand_range(0..bound as u32) as usize
}

/// Writes to a block, as programs do; the compiler does not see what becomes of it.
fn written(block: *mut u8) -> *mut u8 {
    assert!(!block.is_null(), "there is memory enough for all");
    let block = black_box(block);
    // SAFETY: it has a byte at least.
    unsafe { block.write(1) };
    block
}
