//! `cargo +nightly fuzz run actions` in `tests/`: bytes choose a heap and what is done with it; the shadow model watches. A crash
//! that was fixed goes into `corpus/actions`, which `tests/suites/fuzz_corpus.rs` replays.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    coreheap_tests::fuzz::actions(bytes);
});
