//! A scheduler in small: each core has a queue of tasks, and takes from the others' when its own is empty.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::mem::take;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::arch;
use crate::cores::CORES;

/// Something to do, and the blocks that go with it.
struct Task {
    from: usize,
    blocks: usize,
    work: Box<dyn FnOnce() + Send>,
}

/// Interrupts have no tasks, so a lock that leaves them on is enough.
static QUEUES: [spin::Mutex<VecDeque<Task>>; CORES] = [const { spin::Mutex::new(VecDeque::new()) }; CORES];

/// Blocks that another core had than the one that sent them.
static PASSED: AtomicUsize = AtomicUsize::new(0);
/// Tasks that each core has done.
static DONE: [AtomicUsize; CORES] = [const { AtomicUsize::new(0) }; CORES];

/// Leaves work to the next core. `blocks` of the heap go there with what `work` captured, and the box that it is in.
pub fn send(blocks: usize, work: impl FnOnce() + Send + 'static) {
    let from = arch::core();
    let task = Task { from, blocks: blocks + 1, work: Box::new(work) };
    QUEUES[(from + 1) % CORES].lock().push_back(task);
}

/// Does one task; false if there is none.
pub fn do_one() -> bool {
    let core = arch::core();
    // The next core's last, which has most of its tasks from here.
    let mut queues = (0..CORES).map(|distance| &QUEUES[(core + CORES - distance) % CORES]);
    let Some(task) = queues.find_map(|queue| queue.lock().pop_front()) else { return false };
    if task.from != core {
        PASSED.fetch_add(task.blocks, Relaxed);
    }
    (task.work)();
    DONE[core].fetch_add(1, Relaxed);
    true
}

/// Frees the queues, which are empty.
pub fn finish() {
    for queue in &QUEUES {
        assert!(take(&mut *queue.lock()).is_empty(), "a task was left");
    }
}

/// How many blocks another core got than the one that sent them.
pub fn blocks_passed() -> usize {
    PASSED.load(Relaxed)
}

/// How many tasks a core has done.
pub fn done_by(core: usize) -> usize {
    DONE[core].load(Relaxed)
}
