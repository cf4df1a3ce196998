//! The heap: two kinds of memory under one.

use core::mem::MaybeUninit;

use coreheap_bare::coreheap::SmallHeap;
use coreheap_bare::coreheap::sources::FixedRegion;
use coreheap_bare::{Kind, Memory, MixedHeap};

use crate::println;
use crate::watched::Watched;

/// How many bytes, and of these in a cell of the picture.
const EWRAM_BYTES: usize = 240 * 1024;
const EWRAM_CELL: usize = 512;
const IWRAM_BYTES: usize = 15 * 1024;
const IWRAM_CELL: usize = 128;

/// 240 of 256 KiB: the big memory, on a bus of 16 bits, where all statics are that ask for nothing else.
#[unsafe(link_section = ".ewram_uninit")]
static mut EWRAM: MaybeUninit<[u8; EWRAM_BYTES]> = MaybeUninit::uninit();
/// 15 of 32 KiB: the fast memory, on the chip.
#[unsafe(link_section = ".iwram_uninit")]
static mut IWRAM: MaybeUninit<[u8; IWRAM_BYTES]> = MaybeUninit::uninit();

/// What asks for no kind of memory gets that which there is more of.
#[global_allocator]
#[unsafe(link_section = ".iwram.heap")]
pub static HEAP: Watched<MixedHeap<FixedRegion, 2>> = Watched::new(MixedHeap::new([
    // SAFETY: this memory is for the heap, and nobody else reads or writes it.
    Memory::new(Kind::EXTERNAL, unsafe { FixedRegion::over((&raw mut EWRAM).cast(), EWRAM_BYTES) }),
    // SAFETY: as above.
    Memory::new(Kind::FAST, unsafe { FixedRegion::over((&raw mut IWRAM).cast(), IWRAM_BYTES) }),
]));

/// What is in fast memory: `Vec<T, Fast>`.
pub type Fast = &'static SmallHeap<FixedRegion>;

/// Fast memory, for what every frame makes anew: `Vec::new_in(fast())`.
pub fn fast() -> Fast {
    of(Kind::FAST)
}

fn of(kind: Kind) -> &'static SmallHeap<FixedRegion> {
    HEAP.of(kind).next().expect("there is memory of each kind")
}

/// One of the memories as the picture shows it, in cells.
pub struct Part {
    heap: &'static SmallHeap<FixedRegion>,
    start: *const u8,
    pub bytes: usize,
    /// Bytes in a cell.
    pub cell: usize,
}

impl Part {
    /// How many bytes of a cell are in use: in blocks, or the heap's own.
    pub fn used(&self, cell: usize) -> usize {
        let start = self.start.wrapping_add(cell * self.cell);
        self.heap.used_between(start, start.wrapping_add(self.cell))
    }
}

/// First the big memory, then the fast one.
pub fn parts() -> [Part; 2] {
    [
        Part { heap: of(Kind::EXTERNAL), start: (&raw const EWRAM).cast(), bytes: EWRAM_BYTES, cell: EWRAM_CELL },
        Part { heap: of(Kind::FAST), start: (&raw const IWRAM).cast(), bytes: IWRAM_BYTES, cell: IWRAM_CELL },
    ]
}

/// Prints how both are doing.
pub fn report() {
    println!("EWRAM: {}", of(Kind::EXTERNAL).stats());
    println!("IWRAM: {}", of(Kind::FAST).stats());
}

/// Checks both, and that they have everything back.
pub fn assert_empty() {
    for kind in [Kind::EXTERNAL, Kind::FAST] {
        of(kind).assert_valid();
        let stats = of(kind).stats();
        assert_eq!((stats.used, stats.misuses), (0, 0), "bytes that nobody freed, mistakes of the program");
    }
}
