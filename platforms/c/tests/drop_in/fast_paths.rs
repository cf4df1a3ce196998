//! The fast paths stay short: how many instructions they take is held here.
//!
//! Restartable sequences cannot be run step by step, so their code is read: the longest way through the function that calls nothing.
//! Leases are counted as they run, under callgrind, which knows no sequences. A count that falls is to be lowered here too.

#![cfg(all(target_arch = "x86_64", not(debug_assertions)))]

use std::alloc::{GlobalAlloc, Layout};
use std::collections::HashMap;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::ptr::NonNull;

use coreheap_os::Coreheap;
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic};
use object::{Object, ObjectSection, ObjectSymbol};

use crate::support::{compile, folder, is_installed, library, run};

static HEAP: Coreheap = Coreheap::new();
const LAYOUT: Layout = Layout::new::<[u64; 6]>();

#[unsafe(no_mangle)]
fn fast_path_of_allocate() -> Option<NonNull<u8>> {
    HEAP.allocate(LAYOUT)
}

#[unsafe(no_mangle)]
unsafe fn fast_path_of_deallocate(block: NonNull<u8>) {
    // SAFETY: the caller's promise.
    unsafe { HEAP.deallocate(block, LAYOUT) }
}

/// What `GlobalAlloc::alloc` does.
#[unsafe(no_mangle)]
fn fast_path_of_allocate_of_any_layout(layout: Layout) -> Option<NonNull<u8>> {
    HEAP.allocate(layout)
}

/// What `GlobalAlloc::dealloc` does.
#[unsafe(no_mangle)]
unsafe fn fast_path_of_deallocate_of_any_layout(block: NonNull<u8>, layout: Layout) {
    // SAFETY: the caller's promise.
    unsafe { HEAP.deallocate(block, layout) }
}

/// What `Box::new` of 48 bytes comes down to in the program: nothing but a call.
#[unsafe(no_mangle)]
fn place_of_alloc() -> *mut u8 {
    // SAFETY: the size is not 0.
    unsafe { HEAP.alloc(LAYOUT) }
}

/// Another version of the compiler may need one more.
const SLACK: usize = 1;

#[track_caller]
fn assert_at_most(what: &str, count: usize, most: usize) {
    println!("{what}: {count} instructions");
    assert!(count <= most + SLACK, "{what}: {count} instructions; there were {most}");
}

#[test]
fn restartable_sequences() {
    let (this, library) = (std::env::current_exe().expect("a path"), &library().shared);
    assert_at_most("allocate", longest_way(&this, "fast_path_of_allocate", &[]), 21);
    assert_at_most("deallocate", longest_way(&this, "fast_path_of_deallocate", &[]), 19);
    for (function, up_to_1_kib, of_any) in [("allocate", 34, 42), ("deallocate", 31, 40)] {
        let of_any_layout = |avoided| longest_way(&this, &format!("fast_path_of_{function}_of_any_layout"), avoided);
        assert_at_most(&format!("{function} of any layout, up to 1 KiB"), of_any_layout(&[Mnemonic::Bsr]), up_to_1_kib);
        assert_at_most(&format!("{function} of any layout"), of_any_layout(&[]), of_any);
    }
    black_box(place_of_alloc as fn() -> *mut u8);
    assert_at_most("where a program allocates", instructions(&this, "place_of_alloc").len(), 4);
    assert_at_most("malloc", longest_way(library, "malloc", &[]), 24);
    assert_at_most("free", longest_way(library, "free", &[]), 31);
}

#[test]
fn leases() {
    if !is_installed("valgrind") {
        return;
    }
    let this = std::env::current_exe().expect("a path");
    let rust = each(|pairs| {
        let mut command = callgrind(&this);
        command.args(["--exact", "fast_paths::pairs", "--ignored", "--test-threads=1"]).env("PAIRS", pairs.to_string());
        command
    });
    assert_at_most("alloc and dealloc, leased", rust, 106);
    let program = compile("pairs.c", "pairs", &[]);
    let c = each(|pairs| {
        let mut command = callgrind(&program);
        command.arg(pairs.to_string()).env("LD_PRELOAD", &library().shared);
        command
    });
    assert_at_most("malloc and free, leased", c, 183);
}

/// What [`leases`] counts the instructions of.
#[test]
#[ignore = "not a test by itself"]
fn pairs() {
    black_box(fast_path_of_allocate as fn() -> Option<NonNull<u8>>);
    black_box(fast_path_of_deallocate as unsafe fn(NonNull<u8>));
    black_box(fast_path_of_allocate_of_any_layout as fn(Layout) -> Option<NonNull<u8>>);
    black_box(fast_path_of_deallocate_of_any_layout as unsafe fn(NonNull<u8>, Layout));
    let pairs: usize = std::env::var("PAIRS").expect("how many").parse().expect("a number");
    for _ in 0..pairs {
        // SAFETY: the size is not 0; allocated with the same layout.
        unsafe { HEAP.dealloc(black_box(HEAP.alloc(LAYOUT)), LAYOUT) };
    }
}

fn callgrind(program: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program).current_dir(folder());
    command
}

/// Instructions for each pair, the loop's own included: from two runs, so that what starting and ending take falls out.
fn each(command: impl Fn(usize) -> Command) -> usize {
    const PAIRS: usize = 100_000;
    let [less, more] = [PAIRS, 2 * PAIRS].map(|pairs| {
        let ended = run(&mut command(pairs));
        assert!(ended.status.success(), "{}", ended.errors);
        let count = ended.errors.lines().find_map(|line| line.split_once("Collected :"));
        count.and_then(|(_, count)| count.trim().parse::<usize>().ok()).expect("callgrind says how many it counted")
    });
    (more - less + PAIRS / 2) / PAIRS
}

/// The most instructions on a way from the function's start to a return, the return included, without any call, without going back, and without these
/// instructions.
fn longest_way(file: &Path, function: &str, avoided: &[Mnemonic]) -> usize {
    let mut instructions = instructions(file, function);
    let start = *instructions.keys().min().expect("a function");
    instructions.retain(|_, each| !avoided.contains(&each.mnemonic()));
    longest_from(start, &instructions).expect("a way that calls nothing")
}

/// The instructions of a function, by their addresses.
fn instructions(file: &Path, function: &str) -> HashMap<u64, Instruction> {
    let bytes = std::fs::read(file).expect("a file that was just built");
    let file = object::File::parse(&*bytes).expect("an object file");
    let symbol = file.symbols().chain(file.dynamic_symbols()).find(|symbol| symbol.name() == Ok(function)).expect("its symbol");
    let section = file.section_by_index(symbol.section_index().expect("it is defined")).expect("its section");
    let code = section.data_range(symbol.address(), symbol.size()).expect("section data").expect("inside the section");
    Decoder::with_ip(64, code, symbol.address(), DecoderOptions::NONE).iter().map(|each| (each.ip(), each)).collect()
}

fn longest_from(at: u64, instructions: &HashMap<u64, Instruction>) -> Option<usize> {
    // What lies outside is another function, called by a jump.
    let instruction = instructions.get(&at)?;
    let onward = |target: u64| if target > at { longest_from(target, instructions) } else { None };
    let rest = match instruction.flow_control() {
        FlowControl::Return => Some(0),
        FlowControl::Next => onward(instruction.next_ip()),
        FlowControl::UnconditionalBranch => onward(instruction.near_branch_target()),
        FlowControl::ConditionalBranch => onward(instruction.next_ip()).max(onward(instruction.near_branch_target())),
        _ => None,
    };
    rest.map(|rest| rest + 1)
}
