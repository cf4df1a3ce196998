//! The allocators: a feature puts one in charge, by the line that its users write.

cfg_if::cfg_if! {
    if #[cfg(feature = "coreheap")] {
        #[global_allocator]
        pub static HEAP: coreheap_wasm::Coreheap = coreheap_wasm::Coreheap::new();
    } else if #[cfg(feature = "coreheap-small")] {
        #[global_allocator]
        pub static HEAP: coreheap_wasm::SmallCoreheap = coreheap_wasm::SmallCoreheap::new();
    } else if #[cfg(feature = "dlmalloc")] {
        #[global_allocator]
        pub static HEAP: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;
    } else if #[cfg(feature = "talc")] {
        #[global_allocator]
        pub static HEAP: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();
    } else if #[cfg(feature = "talc-arena")] {
        #[global_allocator]
        pub static HEAP: talc::wasm::WasmArenaTalc = {
            static mut ARENA: [core::mem::MaybeUninit<u8>; 32 << 20] = [core::mem::MaybeUninit::uninit(); 32 << 20];
            // SAFETY: the arena is the heap's alone.
            unsafe { talc::wasm::new_wasm_arena_allocator(&raw mut ARENA) }
        };
    } else if #[cfg(feature = "talc-least")] {
        use talc::wasm::{WasmBinning, WasmGrowAndClaim};

        #[global_allocator]
        pub static HEAP: talc::cell::TalcSyncCell<WasmGrowAndClaim, WasmBinning> = talc::cell::TalcSyncCell::new_wasm(WasmGrowAndClaim);
    } else if #[cfg(feature = "talc-locked")] {
        use talc::sync::TalcLock;
        use talc::wasm::{WasmBinning, WasmGrowAndClaim};

        #[global_allocator]
        pub static HEAP: TalcLock<spinning_top::RawSpinlock, WasmGrowAndClaim, WasmBinning> = TalcLock::new(WasmGrowAndClaim);
    } else if #[cfg(feature = "rlsf")] {
        #[global_allocator]
        pub static HEAP: rlsf::GlobalTlsf = rlsf::GlobalTlsf::new();
    } else if #[cfg(feature = "rlsf-small")] {
        #[global_allocator]
        pub static HEAP: rlsf::SmallGlobalTlsf = rlsf::SmallGlobalTlsf::new();
    } else if #[cfg(feature = "lol_alloc")] {
        use lol_alloc::{AssumeSingleThreaded, FreeListAllocator};

        #[global_allocator]
        // SAFETY: the module has one thread.
        pub static HEAP: AssumeSingleThreaded<FreeListAllocator> = unsafe { AssumeSingleThreaded::new(FreeListAllocator::new()) };
    } else if #[cfg(feature = "lol_alloc-locked")] {
        use lol_alloc::{FreeListAllocator, LockedAllocator};

        #[global_allocator]
        pub static HEAP: LockedAllocator<FreeListAllocator> = LockedAllocator::new(FreeListAllocator::new());
    } else if #[cfg(feature = "picoalloc")] {
        use picoalloc::{Allocator, Mutex, UnsafeSystem};

        // What its feature `global_allocator_rust` makes.
        #[global_allocator]
        pub static HEAP: Mutex<Allocator<UnsafeSystem<{ 1 << 30 }>>> = Mutex::new(Allocator::new(UnsafeSystem));
    } else if #[cfg(feature = "rusty_alloc")] {
        #[global_allocator]
        pub static HEAP: rusty_alloc_api::RustyAlloc = rusty_alloc_api::RustyAlloc;
    } else if #[cfg(feature = "std")] {
        // Where nobody chooses, this is the one.
        #[cfg(feature = "workers")]
        pub static HEAP: std::alloc::System = std::alloc::System;
    } else if #[cfg(feature = "nothing")] {
        mod nothing;

        #[global_allocator]
        pub static HEAP: nothing::Nothing = nothing::Nothing::new();
    }
}
