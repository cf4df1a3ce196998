//! The conformance suite over this system's memory, as every port runs it over its own.

use coreheap_os::HostPages;
use coreheap_tests::conformance::conformance;

#[test]
fn the_systems_memory_conforms() {
    conformance(HostPages::new);
}

cfg_if::cfg_if! {
    if #[cfg(windows)] {
        #[test]
        fn large_pages_conform() {
            conformance(|| coreheap_os::LargePages);
        }
    } else {
        #[test]
        fn strict_memory_conforms() {
            conformance(HostPages::strict);
        }
    }
}
