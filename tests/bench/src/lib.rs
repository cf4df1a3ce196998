//! What the benchmarks share: the allocators ([`subject`]), what is done to them ([`patterns`]) and the arithmetic on the
//! results ([`numbers`]).

pub mod numbers;
pub mod patterns;
pub mod subject;
