//! A module that says hello from a heap of one line. What it exports is called by `run.mjs`, which looks at its memory meanwhile.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

#[cfg(not(feature = "small"))]
#[global_allocator]
static HEAP: coreheap_wasm::Coreheap = coreheap_wasm::Coreheap::new();

#[cfg(feature = "small")]
#[global_allocator]
static HEAP: coreheap_wasm::SmallCoreheap = coreheap_wasm::SmallCoreheap::new();

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    /// Prints UTF-8.
    fn print(text: *const u8, len: usize);
}

fn say(text: &str) {
    // SAFETY: the host reads the text, and no more.
    unsafe { print(text.as_ptr(), text.len()) };
}

/// Says hello; returns the address of a block.
#[unsafe(no_mangle)]
extern "C" fn hello(year: u32) -> *mut u32 {
    let words: Vec<String> = ["hello", "from", "WebAssembly"].into_iter().map(String::from).collect();
    say(&format!("{}, {year}", words.join(" ")));
    Box::into_raw(Box::new(year))
}

/// Counts the words of so many sentences, and frees all it took.
#[unsafe(no_mangle)]
extern "C" fn count_words(sentences: usize) -> usize {
    let mut counts = BTreeMap::<String, usize>::new();
    for sentence in 0..sentences {
        let text = format!("sentence {sentence} comes before sentence {}", sentence + 1);
        text.split(' ').for_each(|word| *counts.entry(word.into()).or_default() += 1);
    }
    counts.values().sum()
}

/// Takes blocks of 1,000 bytes until there are no more, and frees them; returns how many there were. A block that does not hold what was written
/// into it is a trap.
#[unsafe(no_mangle)]
extern "C" fn fill() -> usize {
    let mut blocks: Option<Box<Link>> = None;
    let mut count = 0;
    while let Ok(link) = Link::try_new(count, blocks.take()).map_err(|next| blocks = next) {
        blocks = Some(link);
        count += 1;
    }
    let mut checked = count;
    while let Some(link) = blocks {
        checked -= 1;
        assert!(link.filling.iter().all(|byte| *byte == checked as u8));
        blocks = link.next;
    }
    count
}

struct Link {
    filling: [u8; 1000 - size_of::<usize>()],
    next: Option<Box<Link>>,
}

impl Link {
    /// A link before `next`, which comes back if there is no memory.
    fn try_new(count: usize, next: Option<Box<Link>>) -> Result<Box<Self>, Option<Box<Self>>> {
        let mut room = Vec::new();
        if room.try_reserve_exact(1).is_err() {
            return Err(next);
        }
        room.push(Link { filling: [count as u8; _], next });
        let pointer = Box::into_raw(room.into_boxed_slice());
        // SAFETY: a slice of one link, whose layout is the link's.
        Ok(unsafe { Box::from_raw(pointer.cast()) })
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    if let Some(place) = info.location() {
        say(place.file());
    }
    core::arch::wasm32::unreachable()
}
