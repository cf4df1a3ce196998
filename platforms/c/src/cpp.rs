//! The operators of C++.
//!
//! *Role*: `operator new` and `operator delete` in all forms, under the names that the Itanium C++ ABI gives them.
//!
//! Four of them do the work: new and delete, each without and with an alignment. The others lead to these by name, as the standard
//! wants it: a program may replace some operators, and then gets its own wherever the others call them. The forms of new that return
//! null instead of throwing are left to the C++ library, whose own call these four: Rust could not catch what they have to catch.
//!
//! *Exceptions* come from outside: from a new handler, or from the C++ library's function that throws `std::bad_alloc`. They pass
//! through the frames here, which have nothing to clean up. A C++ library that is loaded later is looked for when it is needed. Without
//! one that throws, a request that cannot be served ends the process.

use core::ffi::c_void;
use core::ptr::NonNull;

use coreheap_os::coreheap::port::no_unwind;

use crate::cpp_library::{self, GetNewHandler, ThrowBadAlloc};
use crate::request::{allocate_aligned, allocate_otherwise, allocate_ready, free};

type New = unsafe extern "C-unwind" fn(usize) -> *mut c_void;
type NewAligned = unsafe extern "C-unwind" fn(usize, usize) -> *mut c_void;
type Delete = unsafe extern "C" fn(*mut c_void);
type DeleteAligned = unsafe extern "C" fn(*mut c_void, usize);

/// What the loader found under the names: this library's operators, or others that go before them.
#[repr(C)]
struct Links {
    new: New,
    new_aligned: NewAligned,
    delete: Delete,
    delete_array: Delete,
    delete_aligned: DeleteAligned,
    delete_array_aligned: DeleteAligned,
    /// `std::get_new_handler`, if there was a C++ library when this was linked or loaded.
    get_new_handler: Option<GetNewHandler>,
    /// `std::__throw_bad_alloc`, likewise.
    throw_bad_alloc: Option<ThrowBadAlloc>,
}

// Not in Rust: there a function that is called by a name which is defined here is the one defined here, and weak names are unstable.
macro_rules! links {
    ($word:literal, $size_t:literal) => {
        core::arch::global_asm!(
            ".pushsection .data.rel.ro.coreheap_links, \"aw\", %progbits",
            ".balign 8",
            ".globl coreheap_links",
            ".hidden coreheap_links",
            ".weak _ZSt15get_new_handlerv",
            ".weak _ZSt17__throw_bad_allocv",
            "coreheap_links:",
            concat!($word, " _Znw", $size_t, ", _Znw", $size_t, "St11align_val_t"),
            concat!($word, " _ZdlPv, _ZdaPv, _ZdlPvSt11align_val_t, _ZdaPvSt11align_val_t"),
            concat!($word, " _ZSt15get_new_handlerv, _ZSt17__throw_bad_allocv"),
            ".popsection",
        );
    };
}

#[cfg(target_pointer_width = "64")]
links!(".8byte", "m");
#[cfg(target_pointer_width = "32")]
links!(".4byte", "j");

unsafe extern "C" {
    #[link_name = "coreheap_links"]
    safe static LINKS: Links;
}

/// Defines operators under their names where `size_t` is `unsigned long` (64 bits) and where it is `unsigned int` (32 bits).
macro_rules! operators {
    ($($long:literal, $int:literal => $abi:literal fn $name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)? $body:block)*) => {
        $(
            #[cfg_attr(target_pointer_width = "64", unsafe(export_name = $long))]
            #[cfg_attr(target_pointer_width = "32", unsafe(export_name = $int))]
            unsafe extern $abi fn $name($($argument: $type),*) $(-> $result)? $body
        )*
    };
}

// The four that do the work.
operators! {
    "_Znwm", "_Znwj" => "C-unwind" fn new(size: usize) -> *mut c_void {
        match no_unwind(|| allocate_ready(size)) {
            Some(block) => block.as_ptr().cast(),
            None => new_otherwise(size),
        }
    }
    "_ZnwmSt11align_val_t", "_ZnwjSt11align_val_t" => "C-unwind" fn new_aligned(size: usize, align: usize) -> *mut c_void {
        if !align.is_power_of_two() {
            throw_bad_alloc();
        }
        serve(|| allocate_aligned(align, size))
    }
    "_ZdlPv", "_ZdlPv" => "C" fn delete(block: *mut c_void) {
        // SAFETY: the program's promise: null, or a block of this library's that is not used any more.
        unsafe { free(block.cast()) }
    }
    "_ZdlPvSt11align_val_t", "_ZdlPvSt11align_val_t" => "C" fn delete_aligned(block: *mut c_void, _align: usize) {
        // SAFETY: as above.
        unsafe { free(block.cast()) }
    }
}

// Those that lead to one of them.
operators! {
    "_Znam", "_Znaj" => "C-unwind" fn new_array(size: usize) -> *mut c_void {
        // SAFETY: the operator of that name.
        unsafe { (LINKS.new)(size) }
    }
    "_ZnamSt11align_val_t", "_ZnajSt11align_val_t" => "C-unwind" fn new_array_aligned(size: usize, align: usize) -> *mut c_void {
        // SAFETY: the operator of that name.
        unsafe { (LINKS.new_aligned)(size, align) }
    }
    "_ZdaPv", "_ZdaPv" => "C" fn delete_array(block: *mut c_void) {
        // SAFETY: the operator of that name; the program's promise.
        unsafe { (LINKS.delete)(block) }
    }
    "_ZdlPvm", "_ZdlPvj" => "C" fn delete_sized(block: *mut c_void, _size: usize) {
        // SAFETY: the operator of that name; the program's promise.
        unsafe { (LINKS.delete)(block) }
    }
    "_ZdaPvm", "_ZdaPvj" => "C" fn delete_array_sized(block: *mut c_void, _size: usize) {
        // SAFETY: the operator of that name; the program's promise.
        unsafe { (LINKS.delete_array)(block) }
    }
    "_ZdlPvRKSt9nothrow_t", "_ZdlPvRKSt9nothrow_t" => "C" fn delete_nothrow(block: *mut c_void, _tag: *const c_void) {
        // SAFETY: the operator of that name; the program's promise.
        unsafe { (LINKS.delete)(block) }
    }
    "_ZdaPvRKSt9nothrow_t", "_ZdaPvRKSt9nothrow_t" => "C" fn delete_array_nothrow(block: *mut c_void, _tag: *const c_void) {
        // SAFETY: the operator of that name; the program's promise.
        unsafe { (LINKS.delete_array)(block) }
    }
    "_ZdaPvSt11align_val_t", "_ZdaPvSt11align_val_t" => "C" fn delete_array_aligned(block: *mut c_void, align: usize) {
        // SAFETY: the operator of that name; the program's promise.
        unsafe { (LINKS.delete_aligned)(block, align) }
    }
    "_ZdlPvmSt11align_val_t", "_ZdlPvjSt11align_val_t" => "C" fn delete_sized_aligned(block: *mut c_void, _size: usize, align: usize) {
        // SAFETY: the operator of that name; the program's promise.
        unsafe { (LINKS.delete_aligned)(block, align) }
    }
    "_ZdaPvmSt11align_val_t", "_ZdaPvjSt11align_val_t" => "C" fn delete_array_sized_aligned(block: *mut c_void, _size: usize, align: usize) {
        // SAFETY: the operator of that name; the program's promise.
        unsafe { (LINKS.delete_array_aligned)(block, align) }
    }
    "_ZdlPvSt11align_val_tRKSt9nothrow_t", "_ZdlPvSt11align_val_tRKSt9nothrow_t" => "C" fn delete_aligned_nothrow(block: *mut c_void, align: usize, _tag: *const c_void) {
        // SAFETY: the operator of that name; the program's promise.
        unsafe { (LINKS.delete_aligned)(block, align) }
    }
    "_ZdaPvSt11align_val_tRKSt9nothrow_t", "_ZdaPvSt11align_val_tRKSt9nothrow_t" => "C" fn delete_array_aligned_nothrow(block: *mut c_void, align: usize, _tag: *const c_void) {
        // SAFETY: the operator of that name; the program's promise.
        unsafe { (LINKS.delete_array_aligned)(block, align) }
    }
}

#[inline(never)]
extern "C-unwind" fn new_otherwise(size: usize) -> *mut c_void {
    serve(|| allocate_otherwise(size))
}

/// Serves a request; calls the new handler until it can, or the handler throws. A panic of the heap's ends the process here: exceptions that
/// pass are those of C++ only.
#[inline(always)]
fn serve(request: impl Fn() -> Option<NonNull<u8>>) -> *mut c_void {
    loop {
        match no_unwind(&request) {
            Some(block) => return block.as_ptr().cast(),
            None => make_room(),
        }
    }
}

/// Calls the new handler, or throws if there is none.
#[cold]
fn make_room() {
    let get_handler = LINKS.get_new_handler.or_else(cpp_library::get_new_handler);
    // SAFETY: the C++ library's function, which takes nothing.
    let Some(handler) = get_handler.and_then(|get| unsafe { get() }) else { throw_bad_alloc() };
    // SAFETY: the program's handler, called as the standard says.
    unsafe { handler() }
}

#[cold]
fn throw_bad_alloc() -> ! {
    if let Some(throw) = LINKS.throw_bad_alloc.or_else(cpp_library::throw_bad_alloc) {
        // SAFETY: the C++ library's function; every frame on the way may be unwound.
        unsafe { throw() }
    }
    let message = b"coreheap: operator new: out of memory\n";
    // SAFETY: bytes to the standard error output, and the end.
    unsafe {
        libc::write(libc::STDERR_FILENO, message.as_ptr().cast(), message.len());
        libc::abort()
    }
}
