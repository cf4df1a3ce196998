//! [`LinearMemory`]: memory that grows by pages of 64 KiB at its end; and `Module`, the memory of this program.

use core::ptr::NonNull;

use coreheap::Region;

/// Bytes in a page of WebAssembly.
pub const PAGE_SIZE: usize = 64 * 1024;

/// Memory that grows at its end, by anybody: a C library, the program, the host.
///
/// # Safety
/// Pages that [`grow`](Self::grow) got are valid for reads and writes at [`page`](Self::page), hold zeros, and are nobody else's. So is what
/// [`initial`](Self::initial) answers, but it may hold anything: a memory that is imported may have been used before.
pub unsafe trait LinearMemory: Sync {
    /// [`discard`](Self::discard) does something.
    const DISCARDS: bool = false;

    /// Adds pages at the end; the number of the first of them, or `None` if there cannot be so many.
    fn grow(&self, pages: usize) -> Option<usize>;

    /// How many pages there are now.
    fn pages(&self) -> usize;

    /// Where page `index` begins, or would begin: null behind the last page that there can be.
    fn page(&self, index: usize) -> *mut u8;

    /// What the program does not use of the memory that it was started with, at a multiple of 16 bytes: once, to the first who asks for no more than
    /// that, and not for nothing.
    fn initial(&self, min_size: usize) -> Option<Region> {
        let _ = min_size;
        None
    }

    /// Gives up what is in whole pages, which stay usable, and hold anything then.
    ///
    /// # Safety
    /// They came from here, and nobody uses what is in them.
    unsafe fn discard(&self, start: NonNull<u8>, size: usize) {
        let _ = (start, size);
    }
}

cfg_if::cfg_if! {
    if #[cfg(target_family = "wasm")] {
        #[cfg(target_arch = "wasm32")]
        use core::arch::wasm32::{memory_grow, memory_size};
        #[cfg(target_arch = "wasm64")]
        use core::arch::wasm64::{memory_grow, memory_size};

        /// The memory of the module that this program is.
        #[derive(Debug)]
        pub struct Module;

        // SAFETY: the instruction says where the new pages are, whoever else grew the memory, and nobody else gets the same.
        unsafe impl LinearMemory for Module {
            fn grow(&self, pages: usize) -> Option<usize> {
                Some(memory_grow::<0>(pages)).filter(|first| *first != usize::MAX)
            }

            fn pages(&self) -> usize {
                memory_size::<0>()
            }

            fn page(&self, index: usize) -> *mut u8 {
                core::ptr::with_exposed_provenance_mut(index.wrapping_mul(PAGE_SIZE))
            }

            // Elsewhere it is the C library's. Where there are workers, tools that prepare a linked module for them (wasm-bindgen) lay a stack there.
            #[cfg(all(any(target_os = "unknown", target_os = "none"), not(threads)))]
            fn initial(&self, min_size: usize) -> Option<Region> {
                initial::take(min_size)
            }
        }
    }
}

/// What lies behind the stack and the statics.
#[cfg(all(target_family = "wasm", any(target_os = "unknown", target_os = "none"), not(threads)))]
mod initial {
    use core::ptr::{NonNull, with_exposed_provenance_mut};

    use coreheap::Region;
    use coreheap::port::Once;

    use super::PAGE_SIZE;
    use crate::spare::ALIGN;

    unsafe extern "C" {
        // The linker's; only their addresses mean something.
        static __heap_base: u8;
        static __heap_end: u8;
    }

    static ONCE: Once = Once::new();

    pub fn take(min_size: usize) -> Option<Region> {
        let (base, end) = (&raw const __heap_base, &raw const __heap_end);
        let start = base.expose_provenance().next_multiple_of(ALIGN);
        // It may end where the address space does.
        let size = end.expose_provenance().wrapping_sub(start) / ALIGN * ALIGN;
        // More than a page may be the standard library's: its own allocator, which it uses whatever the global one is, takes all of it if that is
        // enough for its first request, of a page or more.
        let most = if cfg!(target_os = "unknown") { PAGE_SIZE - 1 } else { isize::MAX as usize };
        if size < min_size || size > most || !ONCE.is_first() {
            return None;
        }
        let start = NonNull::new(with_exposed_provenance_mut::<u8>(start))?;
        Some(Region { start, size })
    }
}
