//! An interrupt that allocates in the middle of a heap's first allocation, all along its instructions: neither is refused.
#![no_std]
#![no_main]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::{RefCell, UnsafeCell};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

use coreheap_bare::coreheap::{PageSource, SmallHeap};
use coreheap_bare::{AddedRegions, BareHeap, Coreheap, CoresHeap, Pinned};
use coreheap_tests::blocks::{holds, layout};
use coreheap_tests::geometries::Small;
use critical_section::Mutex;
use on_target::{Unpinned, board, done, memory, wait};
use semihosting::println;

/// Interrupts inside of the first allocation, for each heap: more than 10,000 for the three that are a `SmallHeap`.
const INSIDE: u32 = 3_400;
/// Ticks for an instruction, or less: an instruction takes 128 ns, and a tick 40 or 100.
const STEP: u32 = if cfg!(target_arch = "arm") { 3 } else { 1 };
/// Ticks after which an interrupt comes before the first allocation begins.
const SOONEST: u32 = 5;
/// Bytes of the blocks: the main program's, and the interrupt's.
const SIZES: [usize; 2] = [40, 24];

type Added = BareHeap<SmallHeap<AddedRegions<1>>>;
type Cores = CoresHeap<AddedRegions<1>, Unpinned, 2, Small>;

static TINY: Fresh<Coreheap<512>> = Fresh(UnsafeCell::new(Coreheap::new()));
static SMALL: Fresh<Coreheap<{ 8 * 1024 }>> = Fresh(UnsafeCell::new(Coreheap::new()));
static ADDED: Fresh<Added> = Fresh(UnsafeCell::new(added()));
static CORES: Fresh<Cores> = Fresh(UnsafeCell::new(cores()));

static PLAN: Mutex<RefCell<Plan>> = Mutex::new(RefCell::new(Plan::Idle));
/// How far the main program is.
static STAGE: AtomicU8 = AtomicU8::new(WAITING);
const WAITING: u8 = 0;
const BEFORE: u8 = 1;
const DURING: u8 = 2;
const AFTER: u8 = 3;

#[board::entry]
fn main() -> ! {
    let memory = memory();
    board::start_timer(interrupt);
    // SAFETY: here and below: when `interrupt_all` asks for the next heap, neither it nor the interrupt uses the last one any more.
    let renew = || unsafe { TINY.renew(Coreheap::new()) };
    interrupt_all("Coreheap of 512 bytes", STEP, renew, used_of_small);
    // SAFETY: as above.
    let renew = || unsafe { SMALL.renew(Coreheap::new()) };
    interrupt_all("Coreheap of 8 KiB", STEP, renew, used_of_small);
    // Memory that neither begins nor ends at a granule, and is not zero.
    // SAFETY: as above; the memory is the heap's alone.
    let renew = || unsafe {
        let heap = ADDED.renew(added());
        assert!(heap.heap().source().add(memory.add(5), 3000));
        heap
    };
    interrupt_all("SmallHeap over 3,000 bytes", STEP, renew, used_of_small);
    // SAFETY: as above.
    let renew = || unsafe {
        let heap = CORES.renew(cores());
        assert!(heap.source().add(memory, 40 * 1024));
        heap
    };
    let used = |heap: &'static Cores| {
        heap.assert_valid();
        heap.stats().used
    };
    // That takes many times as long: about every fifth instruction.
    interrupt_all("CoresHeap", 5 * STEP, renew, used);
    board::stop_timer();
    done()
}

fn used_of_small<S: PageSource>(heap: &'static BareHeap<SmallHeap<S>>) -> usize {
    heap.heap().assert_valid();
    heap.heap().stats().used
}

const fn added() -> Added {
    BareHeap::with_source(AddedRegions::new())
}

const fn cores() -> Cores {
    CoresHeap::new(AddedRegions::new(), Pinned::new())
}

/// A place for one new heap after the other.
struct Fresh<H>(UnsafeCell<H>);

// SAFETY: the heap is shared by reference only, until nobody uses it any more.
unsafe impl<H: Sync> Sync for Fresh<H> {}

impl<H> Fresh<H> {
    /// Makes the heap anew.
    ///
    /// # Safety
    /// Nobody uses the one that was there, or its blocks, any more.
    unsafe fn renew(&'static self, heap: H) -> &'static H {
        // SAFETY: the caller's promise; no heap needs to be dropped.
        unsafe {
            self.0.get().write(heap);
            &*self.0.get()
        }
    }
}

/// What the next interrupt does.
enum Plan {
    /// Nothing: the main program is busy with the last one's work.
    Idle,
    /// Lets the main program begin with this heap, and comes again after so many ticks.
    Begin(&'static (dyn GlobalAlloc + Sync), u32),
    /// Allocates from this heap.
    Allocate(&'static (dyn GlobalAlloc + Sync)),
    /// Nothing: it has got this block, or was refused, and came at this stage.
    Done(Option<Block>, u8),
}

/// Moves the interrupt on by `step` ticks each time, from before the first allocation to behind it, over and over. Each time in a heap that `renew`
/// makes; `used` checks it, and says how many bytes are used.
fn interrupt_all<H>(name: &str, step: u32, renew: impl Fn() -> &'static H, used: impl Fn(&'static H) -> usize)
where
    H: GlobalAlloc + Sync + 'static,
{
    let (mut heaps, mut inside, mut sweeps) = (0_u32, 0, 0);
    let (mut refused, mut ticks) = ([0; 2], SOONEST);
    while sweeps == 0 || inside < INSIDE {
        let heap = renew();
        STAGE.store(WAITING, Relaxed);
        set_plan(Plan::Begin(heap, ticks));
        while STAGE.load(Relaxed) == WAITING {
            // So the allocation begins as long after the interrupt each time.
            wait();
        }
        STAGE.store(DURING, Relaxed);
        let first = Block::allocate(heap, 0);
        STAGE.store(AFTER, Relaxed);
        let first = first.map(|block| block.filled(0x11));
        while is_plan(|plan| matches!(plan, Plan::Allocate(_))) {}
        let Plan::Done(second, stage) = set_plan(Plan::Idle) else { unreachable!("the interrupt has come") };
        for (refused, block) in refused.iter_mut().zip([&first, &second]) {
            *refused += u32::from(block.is_none());
        }
        // Where one was refused that is what is wrong, and the others are still to be counted.
        let are_served = first.is_some() && second.is_some();
        if let (Some(first), Some(second)) = (&first, &second) {
            assert!(first.end() <= second.start.addr().get() || second.end() <= first.start.addr().get(), "the blocks overlap");
        }
        first.into_iter().for_each(|block| block.free(heap, 0x11));
        second.into_iter().for_each(|block| block.free(heap, 0x22));
        let used = used(heap);
        assert!(used == 0 || !are_served, "{used} bytes that nobody freed");
        assert!(ticks != SOONEST || stage == BEFORE, "the beginning is left out");
        heaps += 1;
        assert!(heaps < 10 * INSIDE, "only {inside} interrupts came inside");
        inside += u32::from(stage == DURING);
        sweeps += u32::from(stage == AFTER);
        ticks = if stage == AFTER { SOONEST } else { ticks + step };
    }
    println!(
        "{name}: {heaps} heaps, {inside} interrupts inside of the first allocation, through all of which they went {sweeps} times"
    );
    println!("{name}: {} and {} requests were refused", refused[0], refused[1]);
    assert_eq!(refused, [0, 0]);
}

fn interrupt() -> u32 {
    let stage = STAGE.load(Relaxed);
    critical_section::with(|token| {
        let mut plan = PLAN.borrow_ref_mut(token);
        match *plan {
            Plan::Begin(heap, ticks) => {
                *plan = Plan::Allocate(heap);
                STAGE.store(BEFORE, Relaxed);
                ticks
            }
            Plan::Allocate(heap) => {
                *plan = Plan::Done(Block::allocate(heap, 1).map(|block| block.filled(0x22)), stage);
                board::PERIOD
            }
            Plan::Idle | Plan::Done(..) => board::PERIOD,
        }
    })
}

/// Sets the plan, and returns what it was.
fn set_plan(plan: Plan) -> Plan {
    critical_section::with(|token| PLAN.replace(token, plan))
}

fn is_plan(is: impl Fn(&Plan) -> bool) -> bool {
    critical_section::with(|token| is(&PLAN.borrow_ref(token)))
}

/// A block, of the main program or of the interrupt.
struct Block {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: whoever has it owns the block.
unsafe impl Send for Block {}

impl Block {
    fn allocate(heap: &(dyn GlobalAlloc + Sync), owner: usize) -> Option<Self> {
        let layout = layout(SIZES[owner]);
        // SAFETY: the size is not 0.
        Some(Block { start: NonNull::new(unsafe { heap.alloc(layout) })?, layout })
    }

    fn filled(self, byte: u8) -> Self {
        // SAFETY: the block's bytes.
        unsafe { self.start.write_bytes(byte, self.layout.size()) };
        self
    }

    fn end(&self) -> usize {
        self.start.addr().get() + self.layout.size()
    }

    /// Checks what `filled` wrote, and frees the block.
    fn free(self, heap: &(dyn GlobalAlloc + Sync), byte: u8) {
        // SAFETY: the block is live, its bytes were written, and it is forgotten now.
        unsafe {
            assert!(holds(self.start, self.layout.size(), byte), "somebody else wrote into the block");
            heap.dealloc(self.start.as_ptr(), self.layout);
        }
    }
}
