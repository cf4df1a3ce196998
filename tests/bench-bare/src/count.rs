//! Instructions of single calls: a fixed sequence of random actions, the same for all, with a live set of about 16 KiB.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::null_mut;

use fastrand::Rng;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `alloc`
    Allocate,
    /// `dealloc`
    Free,
    /// `realloc`
    Reallocate,
}

/// Their names.
pub const CALLS: [&str; 3] = ["allocate", "free", "realloc"];

/// 60 % of them have a block, of 192 bytes on average.
const SLOTS: usize = 142;
/// Not counted: until the live set has its size, and tables are made.
const FIRST: usize = 2_000;
/// How many actions there are.
const ACTIONS: usize = 42_000;
/// Most counts that there are of one call.
pub const MOST_COUNTS: usize = ACTIONS / 2;

#[derive(Clone, Copy)]
struct Slot {
    /// Null: the request was refused. It counts as live in the sequence, which does not depend on the allocator.
    block: *mut u8,
    layout: Option<Layout>,
}

/// Does the actions. `now` says how many instructions were carried out, and `record` gets the difference for each call. Returns how many
/// requests were refused.
pub fn run<A: GlobalAlloc>(allocator: &A, now: impl Fn() -> u32, mut record: impl FnMut(Call, u32)) -> usize {
    let mut random = Rng::with_seed(7);
    let mut slots = [Slot { block: null_mut(), layout: None }; SLOTS];
    let mut refused = 0;
    for action in 0..ACTIONS {
        let slot = &mut slots[random.usize(..SLOTS)];
        let (resizes, wanted) = (random.u8(..3) == 0, layout(&mut random));
        let (call, instructions) = match slot.layout {
            None => {
                let start = now();
                // SAFETY: no size is 0.
                let block = unsafe { allocate(allocator, wanted) };
                let end = now();
                refused += usize::from(block.is_null());
                *slot = Slot { block, layout: Some(wanted) };
                (Call::Allocate, end.wrapping_sub(start))
            }
            Some(layout) if slot.block.is_null() => {
                slot.layout = (resizes).then_some(layout);
                continue;
            }
            Some(layout) if resizes => {
                let start = now();
                // SAFETY: the block is live, and no size is 0.
                let block = unsafe { reallocate(allocator, slot.block, layout, wanted.size()) };
                let end = now();
                refused += usize::from(block.is_null());
                if !block.is_null() {
                    let layout = Layout::from_size_align(wanted.size(), layout.align()).expect("sizes are small");
                    *slot = Slot { block, layout: Some(layout) };
                }
                (Call::Reallocate, end.wrapping_sub(start))
            }
            Some(layout) => {
                let start = now();
                // SAFETY: the block is live, and forgotten now.
                unsafe { free(allocator, slot.block, layout) };
                let end = now();
                *slot = Slot { block: null_mut(), layout: None };
                (Call::Free, end.wrapping_sub(start))
            }
        };
        if action >= FIRST {
            record(call, instructions);
        }
    }
    refused
}

/// One of 16 is big; one of 32 is aligned to more than 8.
fn layout(random: &mut Rng) -> Layout {
    let size = if random.u8(..16) == 0 { random.usize(257..=2048) } else { random.usize(1..=256) };
    let align = if random.u8(..32) == 0 { 16 << random.u8(..3) } else { 1 << random.u8(..4) };
    Layout::from_size_align(size, align).expect("sizes are small")
}

/// # Safety
/// As for `GlobalAlloc::alloc`.
#[inline(never)]
unsafe fn allocate<A: GlobalAlloc>(allocator: &A, layout: Layout) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe { allocator.alloc(layout) }
}

/// # Safety
/// As for `GlobalAlloc::dealloc`.
#[inline(never)]
unsafe fn free<A: GlobalAlloc>(allocator: &A, block: *mut u8, layout: Layout) {
    // SAFETY: the caller's promise.
    unsafe { allocator.dealloc(block, layout) }
}

/// # Safety
/// As for `GlobalAlloc::realloc`.
#[inline(never)]
unsafe fn reallocate<A: GlobalAlloc>(allocator: &A, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe { allocator.realloc(block, layout, new_size) }
}
