//! [`Loaded`]: symbols of what the dynamic loader loaded, read from memory without asking the loader.
//!
//! *Role*: the loader's own look-up takes its lock. A thread that constructors wait for would wait for that lock for ever, and a look-up
//! that fails allocates. What is read here is what the loader itself goes by: the tables in each loaded object.
//!
//! *Contexts*: any; nothing allocates, nothing is locked.
//!
//! *Invariant* E1: a [`Loaded`] is made of an object that the loader has mapped, so its tables are there and well formed.

use core::ffi::CStr;
use core::ptr::{NonNull, with_exposed_provenance};

cfg_if::cfg_if! {
    if #[cfg(target_pointer_width = "64")] {
        use libc::{Elf64_Ehdr as FileHeader, Elf64_Phdr as ProgramHeader, Elf64_Sym as Symbol};
    } else {
        use libc::{Elf32_Ehdr as FileHeader, Elf32_Phdr as ProgramHeader, Elf32_Sym as Symbol};
    }
}

/// A shared object or program in memory.
#[derive(Clone, Copy, Debug)]
pub struct Loaded {
    /// What the addresses in its file are relative to.
    base: usize,
    dynamic: *const Dynamic,
}

/// An entry of an object's dynamic section.
#[derive(Debug)]
#[repr(C)]
struct Dynamic {
    tag: usize,
    value: usize,
}

/// Tags of entries.
const END: usize = 0;
const STRINGS: usize = 5;
const SYMBOLS: usize = 6;
const DEBUG: usize = 21;
const GNU_HASH: usize = 0x6fff_fef5;

/// What an entry with the tag [`DEBUG`] of a program leads to: the loader writes it for debuggers.
#[repr(C)]
struct ForDebuggers {
    version: i32,
    objects: usize,
    changes: usize,
    state: i32,
    loader_base: usize,
}

/// The start of a table of symbols by hash. Behind it: a filter, the first symbol of each bucket, the hashes of the symbols.
#[repr(C)]
struct HashTable {
    bucket_count: u32,
    first_symbol: u32,
    filter_words: u32,
    filter_shift: u32,
}

impl Loaded {
    /// The dynamic loader; `None` in a program without one.
    pub fn loader() -> Option<Self> {
        // SAFETY: plain questions.
        let (headers, count) = unsafe { (libc::getauxval(libc::AT_PHDR), libc::getauxval(libc::AT_PHNUM)) };
        let headers = with_exposed_provenance::<ProgramHeader>(headers as usize);
        if headers.is_null() {
            return None;
        }
        // SAFETY: the headers of the running program, which say where they lie themselves.
        let program = unsafe {
            let own = find_header(headers, count as usize, libc::PT_PHDR)?;
            Self::new(headers.addr().wrapping_sub(own.p_vaddr as usize), headers, count as usize)?
        };
        let for_debuggers = with_exposed_provenance::<ForDebuggers>(program.entry(DEBUG)?);
        if for_debuggers.is_null() {
            return None;
        }
        // SAFETY: the loader wrote it before anything else ran; its file header lies where it was loaded.
        unsafe {
            let base = (*for_debuggers).loader_base;
            let file = with_exposed_provenance::<FileHeader>(base).as_ref()?;
            Self::new(base, with_exposed_provenance(base + file.e_phoff as usize), file.e_phnum.into())
        }
    }

    /// The object with these program headers.
    ///
    /// # Safety
    /// It is loaded, at `base` by its own addresses, and stays as long as this value is used (E1).
    pub unsafe fn new(base: usize, headers: *const ProgramHeader, count: usize) -> Option<Self> {
        // SAFETY: the caller's promise.
        let header = unsafe { find_header(headers, count, libc::PT_DYNAMIC) }?;
        Some(Loaded { base, dynamic: with_exposed_provenance(base.wrapping_add(header.p_vaddr as usize)) })
    }

    /// The address of a function or variable that this object defines for others.
    pub fn find(&self, name: &CStr) -> Option<NonNull<u8>> {
        let [table, symbols, strings] = [GNU_HASH, SYMBOLS, STRINGS].map(|tag| self.entry(tag).map(|value| self.address(value)));
        let table = with_exposed_provenance::<HashTable>(table?);
        let symbols = with_exposed_provenance::<Symbol>(symbols?);
        let hash = name.to_bytes().iter().fold(5381u32, |hash, byte| hash.wrapping_mul(33).wrapping_add(u32::from(*byte)));
        // SAFETY: E1: the format of such tables. The last symbol of a bucket has an odd number in place of its hash.
        unsafe {
            let HashTable { bucket_count, first_symbol, filter_words, .. } = table.read();
            let buckets = table.add(1).cast::<usize>().add(filter_words as usize).cast::<u32>();
            let hashes = buckets.add(bucket_count as usize);
            let mut index = buckets.add(hash.checked_rem(bucket_count)? as usize).read();
            while index >= first_symbol {
                let (found, symbol) = (hashes.add((index - first_symbol) as usize).read(), &*symbols.add(index as usize));
                let is_named_so =
                    || CStr::from_ptr(with_exposed_provenance(strings.unwrap_or(0) + symbol.st_name as usize)) == name;
                if found | 1 == hash | 1 && strings.is_some() && is_defined(symbol) && is_named_so() {
                    let address = self.base.wrapping_add(symbol.st_value as usize);
                    return NonNull::new(with_exposed_provenance::<u8>(address).cast_mut());
                }
                if found & 1 == 1 {
                    break;
                }
                index += 1;
            }
        }
        None
    }

    /// The value of the dynamic section's entry with this tag.
    fn entry(&self, tag: usize) -> Option<usize> {
        let mut entry = self.dynamic;
        // SAFETY: E1: the section has an end.
        unsafe {
            while (*entry).tag != END {
                if (*entry).tag == tag {
                    return Some((*entry).value);
                }
                entry = entry.add(1);
            }
        }
        None
    }

    /// An entry's value as an address. Some loaders write addresses there, some leave those of the file, which are below any base.
    fn address(&self, value: usize) -> usize {
        if value < self.base { self.base + value } else { value }
    }
}

/// A function or variable, neither chosen by a function nor one for each thread.
fn is_defined(symbol: &Symbol) -> bool {
    const NO_TYPE: u8 = 0;
    const FUNCTION: u8 = 2;
    symbol.st_shndx != 0 && (NO_TYPE..=FUNCTION).contains(&(symbol.st_info & 15))
}

/// The first program header of this kind.
///
/// # Safety
/// The headers are there.
unsafe fn find_header<'a>(headers: *const ProgramHeader, count: usize, kind: u32) -> Option<&'a ProgramHeader> {
    // SAFETY: the caller's promise.
    unsafe { core::slice::from_raw_parts(headers, count) }.iter().find(|header| header.p_type == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_loader_defines_is_found_where_it_says() {
        let Some(loader) = Loaded::loader() else { return };
        // A function of every such loader's.
        let found = loader.find(c"__tls_get_addr").map_or(core::ptr::null_mut(), NonNull::as_ptr);
        // SAFETY: a constant name.
        let said = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"__tls_get_addr".as_ptr()) };
        assert!(!found.is_null());
        assert_eq!(found, said.cast());
        assert!(loader.find(c"coreheap_defines_no_such_thing").is_none());
        assert!(loader.find(c"").is_none());
    }

    #[test]
    fn what_is_loaded_is_found_where_the_loader_finds_it() {
        unsafe extern "C" fn compare(info: *mut libc::dl_phdr_info, _: usize, found: *mut libc::c_void) -> libc::c_int {
            // SAFETY: what the loader says of an object of this process; it stays while this runs.
            unsafe {
                let info = &*info;
                let object = Loaded::new(info.dlpi_addr as usize, info.dlpi_phdr.cast(), info.dlpi_phnum.into());
                if let Some(address) = object.and_then(|object| object.find(c"getenv")) {
                    found.cast::<*mut u8>().write(address.as_ptr());
                    return 1;
                }
            }
            0
        }
        let mut found = core::ptr::null_mut::<u8>();
        // SAFETY: a place for the answer; a constant name.
        let (_, said) = unsafe {
            (libc::dl_iterate_phdr(Some(compare), (&raw mut found).cast()), libc::dlsym(libc::RTLD_DEFAULT, c"getenv".as_ptr()))
        };
        if Loaded::loader().is_some() {
            assert_eq!(found, said.cast());
        }
    }
}
