//! The suites, in one program: linking one for each would take longer than running them. Test names begin with the suite's.
//!
//! `global` and `misuse_abort` are programs of their own, each with its own global allocator.

mod address_space_end;
mod bad_input;
mod conformance;
mod dense_heap;
mod exhaustion;
mod falls;
mod first_allocation;
mod fuzz_corpus;
mod layers;
mod limits;
mod one_context;
mod page_sources;
mod random_actions;
mod refusing_sources;
mod region_blocks;
mod runs;
mod shortage;
mod sized_heaps;
mod stand_ins;
mod threads;
mod unsized_blocks;
