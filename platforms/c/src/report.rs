//! glibc's functions that tell about the heap, and that set it up.
//!
//! *Role*: numbers of the heap report under glibc's names. What glibc calls its arenas are here the pages of small blocks; what it maps one by
//! one are here large blocks; what it keeps for the next request, its fast bins, are here magazines.

use core::ffi::c_int;
use core::fmt::{self, Write};

use coreheap_os::HostGeometry;
use coreheap_os::coreheap::{ClassStats, Stats};
use libc::{EINVAL, FILE};

use crate::HEAP;

/// What [`mallinfo2`] tells, in bytes, or `Number = c_int` [`mallinfo`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MallInfo<Number> {
    /// Committed, but for large blocks.
    arena: Number,
    /// How many free blocks, but for those in magazines.
    ordblks: Number,
    /// How many free blocks in magazines.
    smblks: Number,
    /// How many large blocks.
    hblks: Number,
    /// In large blocks.
    hblkhd: Number,
    /// Nothing; nor is it in glibc.
    usmblks: Number,
    /// In free blocks in magazines.
    fsmblks: Number,
    /// In blocks that the program has, but for large ones.
    uordblks: Number,
    /// The rest of `arena`.
    fordblks: Number,
    /// Committed, and in no page, block or table: [`malloc_trim`] gives it back.
    keepcost: Number,
}

impl MallInfo<usize> {
    fn of(stats: &Stats<HostGeometry>) -> Self {
        let (hblks, hblkhd) = stats.large;
        let sum = |part: fn(&ClassStats) -> usize| stats.classes().map(part).sum::<usize>();
        let in_pages = sum(|class| class.blocks * class.block_size);
        let smblks = sum(|class| class.in_magazines);
        let ordblks = sum(|class| class.blocks).saturating_sub(sum(|class| class.used) + smblks);
        // While other threads use the heap the numbers need not fit together.
        let arena = stats.committed.saturating_sub(hblkhd);
        let uordblks = stats.used.saturating_sub(hblkhd);
        MallInfo {
            arena,
            ordblks,
            smblks,
            hblks,
            hblkhd,
            usmblks: 0,
            fsmblks: sum(|class| class.in_magazines * class.block_size),
            uordblks,
            fordblks: arena.saturating_sub(uordblks),
            keepcost: arena.saturating_sub(in_pages + stats.metadata),
        }
    }
}

/// What the heap has, in numbers. Takes time in proportion to the memory in use.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn mallinfo2() -> MallInfo<usize> {
    MallInfo::of(&HEAP.stats())
}

/// [`mallinfo2`] of old, with numbers of type `int`: one that is too big for it is `INT_MAX`, where glibc lets it wrap.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn mallinfo() -> MallInfo<c_int> {
    let long = mallinfo2();
    let short = |number: usize| c_int::try_from(number).unwrap_or(c_int::MAX);
    MallInfo {
        arena: short(long.arena),
        ordblks: short(long.ordblks),
        smblks: short(long.smblks),
        hblks: short(long.hblks),
        hblkhd: short(long.hblkhd),
        usmblks: short(long.usmblks),
        fsmblks: short(long.fsmblks),
        uordblks: short(long.uordblks),
        fordblks: short(long.fordblks),
        keepcost: short(long.keepcost),
    }
}

/// [`mallinfo`] by glibc's second name.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn __libc_mallinfo() -> MallInfo<c_int> {
    mallinfo()
}

/// glibc's wishes about how its own allocator works. None means anything here; 1, as glibc answers, because programs may give up otherwise.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn mallopt(_parameter: c_int, _value: c_int) -> c_int {
    1
}

/// [`mallopt`] by glibc's second name.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn __libc_mallopt(parameter: c_int, value: c_int) -> c_int {
    mallopt(parameter, value)
}

/// Gives free memory back to the system, all of it whatever `_keep` says; 1 if there was any.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn malloc_trim(_keep: usize) -> c_int {
    c_int::from(HEAP.purge() > 0)
}

/// Writes the heap report to the standard error output.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn malloc_stats() {
    unsafe extern "C" {
        #[link_name = "stderr"]
        static STDERR: *mut FILE;
    }
    // SAFETY: the C library's own stream.
    let _ = writeln!(Stream::new(unsafe { STDERR }), "{}", HEAP.stats());
}

/// Writes the heap report to a stream, as XML in the form of glibc's. Returns 0, or `EINVAL` if `options` is not 0.
///
/// # Safety
/// `stream` is an open stream.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn malloc_info(options: c_int, stream: *mut FILE) -> c_int {
    if options != 0 {
        return EINVAL;
    }
    // A stream that cannot be written to has its own mark for that.
    let _ = write_info(&mut Stream::new(stream), &HEAP.stats());
    0
}

fn write_info(out: &mut Stream, stats: &Stats<HostGeometry>) -> fmt::Result {
    let info = MallInfo::of(stats);
    let totals = |out: &mut Stream| {
        writeln!(out, r#"<total type="fast" count="{}" size="{}"/>"#, info.smblks, info.fsmblks)?;
        writeln!(out, r#"<total type="rest" count="{}" size="{}"/>"#, info.ordblks, info.fordblks.saturating_sub(info.fsmblks))
    };
    let system = |out: &mut Stream| {
        writeln!(out, r#"<system type="current" size="{}"/>"#, stats.committed)?;
        writeln!(out, r#"<system type="max" size="{}"/>"#, stats.peak.max(stats.committed))?;
        writeln!(out, r#"<aspace type="total" size="{}"/>"#, stats.reserved)?;
        writeln!(out, r#"<aspace type="mprotect" size="{}"/>"#, stats.committed)
    };
    writeln!(out, "<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>")?;
    for class in stats.classes() {
        let (size, count) = (class.block_size, class.blocks.saturating_sub(class.used));
        writeln!(out, r#"  <size from="{size}" to="{size}" total="{}" count="{count}"/>"#, size * count)?;
    }
    writeln!(out, "</sizes>")?;
    totals(out)?;
    system(out)?;
    writeln!(out, "</heap>")?;
    totals(out)?;
    writeln!(out, r#"<total type="mmap" count="{}" size="{}"/>"#, info.hblks, info.hblkhd)?;
    system(out)?;
    writeln!(out, "</malloc>")
}

/// A stream of the C library's, to write to. It may allocate its buffer. A thread may be cancelled where it writes, but not through the frames
/// here: that waits until this is dropped.
struct Stream {
    file: *mut FILE,
    cancel_state: c_int,
}

unsafe extern "C" {
    fn pthread_setcancelstate(state: c_int, old: *mut c_int) -> c_int;
}
/// C's `PTHREAD_CANCEL_DISABLE`.
const CANCEL_DISABLE: c_int = 1;

impl Stream {
    fn new(file: *mut FILE) -> Self {
        let mut cancel_state = 0;
        // SAFETY: a place for the state as it was.
        unsafe { pthread_setcancelstate(CANCEL_DISABLE, &mut cancel_state) };
        Stream { file, cancel_state }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: the state as it was; C allows no null in place of the old one.
        unsafe { pthread_setcancelstate(self.cancel_state, &mut self.cancel_state) };
    }
}

impl Write for Stream {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // SAFETY: an open stream; the bytes of the text.
        let written = unsafe { libc::fwrite(text.as_ptr().cast(), 1, text.len(), self.file) };
        if written == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}
