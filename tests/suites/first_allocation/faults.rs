//! Interrupts at moments that a test chooses: memory that cannot be touched at first, and faults that allocate before they make it usable.

use std::cell::Cell;
use std::ptr::{NonNull, null_mut};
use std::sync::Once;

use super::{SIZE, Shared, allocate, finish};

const PAGE: usize = 4096;

/// At most so many interrupts interrupt each other.
const DEPTH: usize = 3;

/// What a fault finds.
struct Plan {
    heap: *const (),
    allocate: fn(*const ()) -> Option<NonNull<u8>>,
    /// An interrupt comes with each fault of this number, counted from the one before.
    chosen: usize,
    faults: usize,
    depth: usize,
    blocks: [Option<NonNull<u8>>; DEPTH],
}

thread_local! {
    static PLAN: Cell<*mut Plan> = const { Cell::new(null_mut()) };
}

extern "C" fn on_fault(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let plan = PLAN.get();
    // SAFETY: the kernel's; the page is the test's, or this is a fault of another kind and comes again, without a handler.
    unsafe {
        let page = (*info).si_addr().map_addr(|address| address / PAGE * PAGE);
        if plan.is_null() || libc::mprotect(page, PAGE, libc::PROT_READ | libc::PROT_WRITE) != 0 {
            libc::signal(libc::SIGSEGV, libc::SIG_DFL);
            return;
        }
        (*plan).faults += 1;
        if (*plan).faults == (*plan).chosen && (*plan).depth < DEPTH {
            let depth = (*plan).depth;
            ((*plan).depth, (*plan).faults) = (depth + 1, 0);
            (*plan).blocks[depth] = ((*plan).allocate)((*plan).heap);
        }
    }
}

/// Allocates from a new heap over this memory, and in interrupts at the faults that are chosen; returns how many there were.
fn run<H: Shared>(memory: *mut u8, chosen: usize) -> usize {
    // SAFETY: the test's memory, which no heap has now.
    assert_eq!(unsafe { libc::mprotect(memory.cast(), SIZE, libc::PROT_NONE) }, 0);
    // SAFETY: nobody else uses it.
    let heap = unsafe { H::over(memory) };
    let allocate = |heap: *const ()| {
        // SAFETY: the heap above.
        allocate(unsafe { &*heap.cast::<H>() }, 0x22)
    };
    let mut plan = Plan { heap: (&raw const heap).cast(), allocate, chosen, faults: 0, depth: 0, blocks: [None; DEPTH] };
    PLAN.set(&raw mut plan);
    let first = super::allocate(&heap, 0x11);
    // What comes from now on is no interrupt.
    let depth = std::mem::replace(&mut plan.depth, DEPTH);
    let served = plan.blocks.iter().flatten().count();
    assert_eq!(served, depth, "an interrupt at fault {chosen} was refused");
    let blocks = plan.blocks.iter().flatten().map(|block| (*block, 0x22));
    finish(&heap, blocks.chain([(first.expect("nothing is used yet"), 0x11)]).collect());
    PLAN.set(null_mut());
    depth
}

/// Interrupts the first allocation of such a heap at all pages that it touches.
pub fn interrupt_all<H: Shared>() {
    static INSTALLED: Once = Once::new();
    // SAFETY: a handler of the signature that its flags ask for.
    INSTALLED.call_once(|| unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_fault as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
        assert_eq!(libc::sigaction(libc::SIGSEGV, &action, null_mut()), 0);
    });
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: new memory.
    let memory = unsafe { libc::mmap(null_mut(), SIZE, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    assert_ne!(memory, libc::MAP_FAILED);
    // SAFETY: the memory, all of it.
    unsafe { memory.cast::<u8>().write_bytes(0xa5, SIZE) };
    let interrupts: Vec<_> =
        (1..).map(|chosen| run::<H>(memory.cast(), chosen)).take_while(|interrupts| *interrupts > 0).collect();
    assert!(interrupts.len() >= 2 && interrupts[0] == DEPTH, "interrupts came {interrupts:?} times");
    // SAFETY: mapped above, used no more.
    unsafe { libc::munmap(memory, SIZE) };
}
