#![no_std]
#![no_main]
#![feature(allocator_api)]

extern crate alloc;

mod console;
mod events;
mod heap;
mod interrupts;
mod watched;

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    println!("hello");
    interrupts::start();
    let mut events = events::Events::default();
    for frame in 0..60u32 {
        let b = alloc::format!("frame {frame}");
        let mut v = alloc::vec::Vec::new_in(heap::Fast);
        v.extend(b.bytes());
        for i in 0..200 { core::hint::black_box(alloc::boxed::Box::new([i; 7])); }
        events.take();
        gba::bios::VBlankIntrWait();
    }
    interrupts::stop();
    drop(events.take());
    heap::report();
    events.report();
    heap::assert_empty();
    console::exit(0)
}
