//! The heap: two kinds of memory under one.

use core::mem::MaybeUninit;

use coreheap_bare::coreheap::SmallHeap;
use coreheap_bare::coreheap::sources::FixedRegion;
use coreheap_bare::{Kind, Memory, MixedHeap};

use crate::println;
use crate::watched::Watched;

const EWRAM_BYTES: usize = 240 * 1024;
const IWRAM_BYTES: usize = 15 * 1024;

/// 240 of 256 KiB: the big memory, on a bus of 16 bits, where all statics are that ask for nothing else.
static mut EWRAM: MaybeUninit<[u8; EWRAM_BYTES]> = MaybeUninit::uninit();
/// 15 of 32 KiB: the fast memory, on the chip.
#[unsafe(link_section = ".iwram_uninit")]
static mut IWRAM: MaybeUninit<[u8; IWRAM_BYTES]> = MaybeUninit::uninit();

/// What asks for no kind of memory gets that which there is more of.
#[global_allocator]
#[unsafe(link_section = ".iwram.heap")]
pub static HEAP: Watched<MixedHeap<FixedRegion, 2>> = Watched::new(MixedHeap::new([
    // SAFETY: this memory is for the heap, and nobody else names it.
    Memory::new(Kind::EXTERNAL, unsafe { FixedRegion::over((&raw mut EWRAM).cast(), EWRAM_BYTES) }),
    // SAFETY: as above.
    Memory::new(Kind::FAST, unsafe { FixedRegion::over((&raw mut IWRAM).cast(), IWRAM_BYTES) }),
]));

/// The heap in one kind of memory.
type Part = &'static SmallHeap<FixedRegion>;

/// What is in fast memory: `Vec<T, Fast>`.
pub type Fast = Part;

/// Fast memory, for what every frame makes anew: `Vec::new_in(fast())`.
pub fn fast() -> Fast {
    part(Kind::FAST)
}

fn part(kind: Kind) -> Part {
    HEAP.of(kind).next().expect("the heap has this kind of memory")
}

/// A kind of memory, in equal parts, for the picture.
pub struct Cells {
    heap: Part,
    start: *const u8,
    /// Bytes in each.
    pub size: usize,
    pub count: usize,
}

impl Cells {
    /// How many bytes of a cell are in use: in blocks, or the heap's own.
    #[inline(always)]
    pub fn used(&self, cell: usize) -> usize {
        let start = self.start.wrapping_add(cell * self.size);
        self.heap.used_between(start, start.wrapping_add(self.size))
    }
}

/// First the big memory, then the fast one.
pub fn cells() -> [Cells; 2] {
    let cells = |kind, start, bytes, count| Cells { heap: part(kind), start, size: bytes / count, count };
    [
        cells(Kind::EXTERNAL, (&raw const EWRAM).cast(), EWRAM_BYTES, 480),
        cells(Kind::FAST, (&raw const IWRAM).cast(), IWRAM_BYTES, 120),
    ]
}

/// Prints how both memories are doing.
pub fn report() {
    println!("EWRAM: {}", part(Kind::EXTERNAL).stats());
    println!("IWRAM: {}", part(Kind::FAST).stats());
}

/// Checks both, and that they have everything back.
pub fn assert_empty() {
    for kind in [Kind::EXTERNAL, Kind::FAST] {
        part(kind).assert_valid();
        let stats = part(kind).stats();
        assert_eq!((stats.used, stats.misuses), (0, 0), "bytes that nobody freed, mistakes of the program");
    }
}
