//! What the benchmarks share: the allocators ([`subject`], [`peers`]), what is done to them ([`patterns`], [`workloads`], [`latency`],
//! `memory`) and the arithmetic on the results ([`numbers`], [`figures`]).

pub mod figures;
pub mod latency;
pub mod numbers;
pub mod patterns;
pub mod peers;
pub mod subject;
pub mod workloads;

#[cfg(target_os = "linux")]
pub mod memory;
#[cfg(target_os = "linux")]
pub mod resident;
