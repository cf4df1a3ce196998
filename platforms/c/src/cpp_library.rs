//! The functions that `operator new` needs of a C++ library: what throws `std::bad_alloc`, and what knows the new handler.
//!
//! *Role*: finds them when they are needed. A program in C may load a library in C++ at any time, which brings the C++ library along,
//! perhaps where only that library sees it (`RTLD_LOCAL`), or inside of itself. So all that is loaded is looked through, in the order in which
//! it was loaded. Nothing is remembered: what was loaded may be unloaded.
//!
//! *Contexts*: a throw in the program's own `operator new`. The list of what is loaded has a lock of the loader's, as the unwinder takes it
//! for each throw; it is not held while constructors run. Nothing allocates.

use core::ffi::{CStr, c_int, c_void};
use core::mem::transmute;
use core::ptr::NonNull;

use coreheap_os::Loaded;

/// A new handler.
pub type Handler = unsafe extern "C-unwind" fn();
/// `std::get_new_handler`.
pub type GetNewHandler = unsafe extern "C" fn() -> Option<Handler>;
/// `std::__throw_bad_alloc`.
pub type ThrowBadAlloc = unsafe extern "C-unwind" fn() -> !;

/// `std::get_new_handler` of a C++ library that is loaded now.
pub fn get_new_handler() -> Option<GetNewHandler> {
    // SAFETY: the function of that name in the Itanium C++ ABI.
    find(c"_ZSt15get_new_handlerv").map(|function| unsafe { transmute::<NonNull<u8>, GetNewHandler>(function) })
}

/// `std::__throw_bad_alloc` of a C++ library that is loaded now.
pub fn throw_bad_alloc() -> Option<ThrowBadAlloc> {
    // SAFETY: the function of that name in libstdc++ and libc++.
    find(c"_ZSt17__throw_bad_allocv").map(|function| unsafe { transmute::<NonNull<u8>, ThrowBadAlloc>(function) })
}

struct Search {
    name: &'static CStr,
    found: Option<NonNull<u8>>,
}

/// What the first loaded object that defines this name has there.
fn find(name: &'static CStr) -> Option<NonNull<u8>> {
    let mut search = Search { name, found: None };
    // SAFETY: `look` gets what it expects.
    unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut search).cast()) };
    search.found
}

/// Looks into one object; not 0 ends the search.
unsafe extern "C" fn look(object: *mut libc::dl_phdr_info, _size: usize, search: *mut c_void) -> c_int {
    // SAFETY: what the loader says of an object, which stays while this runs; the search of `find`.
    unsafe {
        let (object, search) = (&*object, &mut *search.cast::<Search>());
        let loaded = Loaded::new(object.dlpi_addr as usize, object.dlpi_phdr.cast(), object.dlpi_phnum.into());
        search.found = loaded.and_then(|loaded| loaded.find(search.name));
        c_int::from(search.found.is_some())
    }
}
