//! What the sequences rely on, made visible by sequences that take long.

use core::sync::atomic::{AtomicBool, AtomicUsize};
use std::alloc::{Layout, alloc_zeroed};
use std::thread;
use std::time::{Duration, Instant};

use coreheap::Server;
use coreheap::port::CoreHeap;

use super::super::probe::{AT_RSEQ_FEATURE_SIZE, Area, probe};
use super::super::{CORES, nobody, nobody_now};
use super::*;
use crate::system::{generation, this_thread};

const CLASS: SizeClass = SizeClass::from_index(5);
const OTHER_CLASS: SizeClass = SizeClass::from_index(6);

/// Cores with core heaps that serve nothing but these tests; `None` where this system has no restartable sequences.
fn opened() -> Option<&'static RseqCores> {
    let area = probe();
    assert!(area.is_some() || std::env::var_os("COREHEAP_TEST_SEQUENCES").is_none(), "there are sequences here");
    area.map(opened_at)
}

fn opened_at(area: Area) -> &'static RseqCores {
    let cores: &'static RseqCores = std::boxed::Box::leak(std::boxed::Box::new(RseqCores::new()));
    cores.open(area);
    for core in 0..area.core_count {
        // SAFETY: fresh zeroed memory that stays.
        unsafe {
            let heap = alloc_zeroed(Layout::new::<CoreHeap<Server>>()).cast::<CoreHeap<Server>>();
            assert!(cores.install(core, heap));
            // A sequence that dawdles moves limits on.
            [CLASS, OTHER_CLASS].iter().for_each(|class| (*heap).magazine(*class).set_limit(1));
        }
    }
    cores
}

impl RseqCores {
    /// Adds 1 to the limit of a magazine, in a sequence that takes `delay` rounds of a loop; counts how often it begins.
    unsafe fn dawdle<G: Geometry>(&self, area: NonZeroIsize, class: SizeClass, delay: usize, attempts: &AtomicUsize) -> bool {
        // SAFETY: the magazine is used by nobody who would believe the limit.
        unsafe { instructions::dawdle::<G>(self.place::<G>(area, Some(class)), delay, attempts.as_ptr()) }
    }
}

/// How many rounds of the loop in `dawdle` take some 100 µs here.
fn rounds_of_100_us(cores: &RseqCores) -> usize {
    const ROUNDS: usize = 200_000;
    let time = || {
        let started = Instant::now();
        // SAFETY: the geometry that `opened` used.
        unsafe { cores.dawdle::<Server>(cores.area().expect("open"), OTHER_CLASS, ROUNDS, &AtomicUsize::new(0)) };
        started.elapsed().as_micros() as usize
    };
    let least = (0..9).map(|_| time()).min().expect("some");
    ROUNDS * 100 / least
}

/// What was added to the limits of the magazine on all cores.
fn commits(cores: &RseqCores) -> usize {
    // SAFETY: the geometry that `opened` used.
    (0..cores.core_count())
        .map(|core| unsafe { cores.slot(core).heap::<Server>().expect("opened").magazine(CLASS) }.limit() - 1)
        .sum()
}

#[test]
fn nobody_is_left_inside_when_one_is_alone() {
    let Some(cores) = opened() else { return };
    static DONE: AtomicBool = AtomicBool::new(false);
    let delay = rounds_of_100_us(cores);
    let worker = thread::spawn(move || {
        let (attempts, mut commits) = (AtomicUsize::new(0), 0);
        // Has this thread registered, where the C library does not.
        cores.core();
        while !DONE.load(Ordering::Relaxed) {
            // SAFETY: the geometry that `opened` used.
            commits += usize::from(unsafe { cores.dawdle::<Server>(cores.area().expect("open"), CLASS, delay, &attempts) });
        }
        commits
    });
    let (mut alone, started) = (0, Instant::now());
    while started.elapsed() < Duration::from_secs(2) {
        for core in 0..cores.core_count().min(4) {
            // SAFETY: the geometry that `opened` used.
            let changed = unsafe {
                cores.alone_on::<Server, _>(core, |heap| {
                    let (limit, from) = (heap.magazine(CLASS).limit(), Instant::now());
                    while from.elapsed() < Duration::from_micros(300) {}
                    heap.magazine(CLASS).limit() != limit
                })
            };
            assert_ne!(changed, Some(true), "a sequence that began before ended meanwhile");
            alone += usize::from(changed.is_some());
            thread::sleep(Duration::from_micros(200));
        }
    }
    DONE.store(true, Ordering::Relaxed);
    let commits = worker.join().expect("a worker");
    assert!(alone > 20 && commits > 100, "alone {alone} times, {commits} commits");
    assert_eq!(self::commits(cores), commits);
}

#[test]
fn a_sequence_that_is_cut_off_begins_anew_and_commits_once() {
    let Some(cores) = opened() else { return };
    let delay = rounds_of_100_us(cores);
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: a handler that does nothing, and a timer that sends its signal to this thread.
    let timer = unsafe {
        libc::signal(libc::SIGUSR2, nothing as *const () as usize);
        let mut event: libc::sigevent = core::mem::zeroed();
        (event.sigev_notify, event.sigev_signo) = (libc::SIGEV_THREAD_ID, libc::SIGUSR2);
        event.sigev_notify_thread_id = libc::gettid();
        let mut timer = core::mem::zeroed();
        assert_eq!(libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer), 0);
        let every = libc::timespec { tv_sec: 0, tv_nsec: 500_000 };
        let times = libc::itimerspec { it_interval: every, it_value: every };
        assert_eq!(libc::timer_settime(timer, 0, &times, core::ptr::null_mut()), 0);
        timer
    };
    let (attempts, mut commits, started) = (AtomicUsize::new(0), 0, Instant::now());
    while started.elapsed() < Duration::from_secs(1) {
        // SAFETY: the geometry that `opened` used.
        commits += usize::from(unsafe { cores.dawdle::<Server>(cores.area().expect("open"), CLASS, delay, &attempts) });
    }
    // SAFETY: the timer from above.
    unsafe { libc::timer_delete(timer) };
    let attempts = attempts.into_inner();
    std::println!("{attempts} attempts, {commits} commits, {delay} rounds in each");
    assert!(attempts > commits + 20, "{attempts} attempts, {commits} commits: nothing was cut off");
    assert_eq!(self::commits(cores), commits, "{attempts} attempts");
}

/// Has all threads read this number, as if the kernel had said it.
fn pretend(cores: &RseqCores, number: &u32) {
    let from_thread_pointer = core::ptr::from_ref(number).expose_provenance().wrapping_sub(this_thread()) as isize;
    cores.number.store(from_thread_pointer, Ordering::Relaxed);
}

#[test]
fn a_thread_that_the_kernel_does_not_serve_finds_nobody() {
    let Some(cores) = opened() else { return };
    let area = cores.area().expect("open");
    for number in [-1, -2] {
        let elsewhere = std::boxed::Box::new(number as u32);
        pretend(cores, &elsewhere);
        // SAFETY: the geometry that `opened` used; a block that nobody takes for memory.
        unsafe {
            assert!(!cores.dawdle::<Server>(area, CLASS, 1, &AtomicUsize::new(0)));
            assert!(cores.pop::<Server>(area, CLASS).is_none());
            assert!(cores.push::<Server>(area, Some(CLASS), Block::from_address(NonZeroUsize::MIN)).is_err());
            pops_and_pushes_nothing(cores);
        }
        assert!(cores.core() < cores.core_count());
    }
}

/// Many at a time.
fn pops_and_pushes_nothing(cores: &RseqCores) {
    let mut blocks = Blocks::new();
    // SAFETY: the geometry that `opened` used; a block that nobody takes for memory.
    unsafe {
        cores.pop_many::<Server>(CLASS, &mut blocks, 3);
        assert!(blocks.addresses().is_empty());
        blocks.add(Block::from_address(NonZeroUsize::MIN));
        cores.push_many::<Server>(CLASS, &mut blocks);
    }
    assert_eq!(blocks.addresses(), [1]);
}

#[test]
fn a_core_without_a_core_heap_and_one_whose_core_heap_is_out_find_nobody() {
    let Some(cores) = opened() else { return };
    let area = cores.area().expect("open");
    let number = std::boxed::Box::new(0);
    pretend(cores, &number);
    // SAFETY: the geometry that `opened` used; blocks that nobody takes for memory.
    unsafe {
        let push = |class| cores.push::<Server>(area, class, Block::from_address(NonZeroUsize::MIN));
        assert!(push(Some(CLASS)).is_ok() && push(None).is_err(), "a block of no class");
        let out = cores.take_out::<Server>(0).expect("it is there");
        assert!(cores.pop::<Server>(area, CLASS).is_none() && push(Some(CLASS)).is_err());
        pops_and_pushes_nothing(cores);
        drop(out);
        assert!(cores.pop::<Server>(area, CLASS).is_some());
    }
    for number in [cores.core_count(), CORES - 1].into_iter().filter(|number| *number < CORES) {
        // The last slots are of cores that there cannot be here.
        let number = std::boxed::Box::new(number as u32);
        pretend(cores, &number);
        // SAFETY: as above.
        unsafe { assert!(cores.pop::<Server>(area, CLASS).is_none()) };
        pops_and_pushes_nothing(cores);
    }
}

/// In the child of a `fork`: one thread had a core heap out, and another one was about to lead sequences to a new one (Q5).
#[test]
fn what_a_fork_left_is_put_back() {
    let Some(cores) = opened() else { return };
    let before = [0, 1].map(|core| cores.lead_of(core).load(Ordering::Relaxed));
    for core in [0, 1] {
        cores.lead_of(core).store(nobody(), Ordering::Relaxed);
    }
    cores.holders[0].leave();
    cores.looked_through.store(generation(), Ordering::Relaxed);
    assert!(cores.core() < cores.core_count());
    assert_eq!([0, 1].map(|core| cores.lead_of(core).load(Ordering::Relaxed)), before);
    // SAFETY: the geometry that `opened` used.
    unsafe { assert!([0, 1].iter().all(|core| cores.alone_on::<Server, _>(*core, |_| ()).is_some())) };
}

/// A context is about to lead sequences to a new core heap; another one, after a `fork`, does it first, and a third one has the core heap out by then.
#[test]
fn a_core_heap_that_is_out_stays_out_while_it_is_installed() {
    let Some(area) = probe() else { return };
    let cores = RseqCores::new();
    cores.open(area);
    // SAFETY: zeroed memory that nobody else uses, which stays.
    let heap = unsafe {
        let heap = alloc_zeroed(Layout::new::<CoreHeap<Server>>()).cast::<CoreHeap<Server>>();
        assert!(cores.slots[0].install(heap));
        heap.cast::<()>()
    };
    let leads_to = || cores.lead_of(0).load(Ordering::Relaxed);
    // SAFETY: the geometry of the core heap.
    let take_out = || unsafe { cores.take_out::<Server>(0) };
    assert!(take_out().is_none() && leads_to() == nobody(), "it is not there yet");
    cores.looked_through.store(generation(), Ordering::Relaxed);
    assert!(cores.core() < cores.core_count() && leads_to() == heap);
    let out = take_out().expect("it is there");
    cores.lead_there(0, heap);
    assert_eq!(leads_to(), nobody_now());
    assert!(take_out().is_none());
    drop(out);
    assert_eq!(leads_to(), heap);
}

#[test]
fn pops_and_pushes_do_what_a_stack_does() {
    const LIMIT: usize = 20;
    let Some(cores) = opened() else { return };
    let area = cores.area().expect("open");
    let number = std::boxed::Box::new(0);
    pretend(cores, &number);
    // SAFETY: the geometry that `opened` used.
    let magazine = unsafe { cores.slot(0).heap::<Server>().expect("opened").magazine(CLASS) };
    magazine.set_limit(LIMIT);
    let (mut stack, mut random) = (std::vec::Vec::new(), 1u64);
    for round in 1..20_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // SAFETY: numbers that nobody takes for memory.
        let block = |index: usize| unsafe { Block::from_address(NonZeroUsize::new(round * 64 + index).expect("not 0")) };
        let mut blocks = Blocks::new();
        let many = (random >> 32) as usize % 32;
        (0..many).for_each(|index| blocks.add(block(index)));
        // SAFETY: the geometry that `opened` used, and one of its classes.
        unsafe {
            match random >> 62 {
                0 => assert_eq!(cores.pop::<Server>(area, CLASS).map(|block| block.address()), stack.pop()),
                1 => {
                    let pushed = cores.push::<Server>(area, Some(CLASS), block(0)).is_ok();
                    assert_eq!(pushed, stack.len() < LIMIT);
                    stack.extend(pushed.then_some(round * 64));
                }
                2 => {
                    let most = many + (random >> 40) as usize % 32;
                    cores.pop_many::<Server>(CLASS, &mut blocks, most);
                    let mut popped = stack.split_off(stack.len() - stack.len().min(most - many));
                    popped.reverse();
                    assert_eq!(blocks.addresses()[many..], popped, "the newest first");
                }
                _ => {
                    cores.push_many::<Server>(CLASS, &mut blocks);
                    let left = many - many.min(LIMIT - stack.len());
                    assert_eq!(blocks.addresses().len(), left);
                    stack.extend((left..many).rev().map(|index| round * 64 + index));
                }
            }
        }
        assert!(magazine.addresses(false).eq(stack.iter().copied()));
    }
}

/// An area as later kernels want it: longer than the 32 bytes that it once was.
#[repr(C, align(256))]
struct LongArea([u32; 64]);

impl LongArea {
    /// Registers it for this thread in the place of its own, until the thread ends. Returns where it lies from the thread pointer.
    fn register(&mut self, own: isize) -> isize {
        let (start, length) = ((&raw mut *self).addr().wrapping_sub(this_thread()) as isize, size_of::<Self>());
        unregister(own);
        assert!(call(start, length, 0), "an area of {length} bytes");
        start
    }
}

fn call(area: isize, length: usize, flags: libc::c_int) -> bool {
    // SAFETY: areas of this thread, in which no sequence is under way.
    unsafe { libc::syscall(libc::SYS_rseq, this_thread().wrapping_add_signed(area), length, flags, instructions::SIGNATURE) == 0 }
}

/// Has the kernel forget this thread's area, which lies here from the thread pointer.
fn unregister(area: isize) {
    const UNREGISTER: libc::c_int = 1;
    // The kernel wants to hear the length that was registered, which glibc does not tell.
    assert!((32..256).any(|length| call(area, length, UNREGISTER)), "the thread's area");
}

// Elsewhere such a thread registers.
#[cfg(target_env = "gnu")]
#[test]
fn a_thread_whose_area_the_kernel_does_not_know_has_no_sequences() {
    let Some(area) = probe() else { return };
    let work = || {
        unregister(area.start);
        assert!(probe().is_none());
        // As in a thread that was made past glibc: nobody ever wrote to its area.
        let start = core::ptr::with_exposed_provenance_mut::<u8>(this_thread().wrapping_add_signed(area.start));
        // SAFETY: the part of the area in which cores' numbers are, which the kernel uses no more.
        unsafe { start.write_bytes(0, 28) };
        assert!(probe().is_none(), "all zero is taken for core 0");
    };
    thread::scope(|scope| scope.spawn(work).join()).expect("a thread without an area");
    assert!(probe().is_some());
}

#[test]
fn areas_of_more_than_32_bytes_serve_as_well() {
    let Some(area) = probe() else { return };
    // SAFETY: asks for a number.
    if unsafe { libc::getauxval(AT_RSEQ_FEATURE_SIZE) } == 0 {
        // Before Linux 6.3 the kernel takes areas of 32 bytes only.
        return;
    }
    let mut long = LongArea([0; 64]);
    let work = || {
        assert!(probe().is_some());
        let start = long.register(area.start);
        let cores = opened_at(Area { start, number: start + (area.number - area.start), ..area });
        let attempts = AtomicUsize::new(0);
        // SAFETY: the geometry that `opened_at` used.
        let commits = (0..1000).filter(|_| unsafe { cores.dawdle::<Server>(cores.area().expect("open"), CLASS, 1, &attempts) });
        assert_eq!(commits.count(), 1000);
        assert_eq!(self::commits(cores), 1000);
    };
    thread::scope(|scope| scope.spawn(work).join()).expect("a thread with an area of its own");
}
