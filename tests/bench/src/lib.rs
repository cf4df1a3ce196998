//! What the benchmarks share: the allocators ([`subject`], [`peers`]), what is done to them ([`patterns`], [`workloads`], [`latency`],
//! `memory`), the processes that are measured (`process`), the arithmetic on the results ([`numbers`], [`figures`]), and what the benchmarks of other machines need ([`command`], [`table`]).

pub mod command;
pub mod figures;
pub mod latency;
pub mod numbers;
pub mod patterns;
pub mod peers;
pub mod subject;
pub mod table;
pub mod workloads;

#[cfg(target_os = "linux")]
pub mod memory;
#[cfg(target_os = "linux")]
pub mod process;
#[cfg(target_os = "linux")]
pub mod resident;
