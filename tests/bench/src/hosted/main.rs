//! `cargo xtask bench hosted`: coreheap beside other allocators on hosted systems.
//!
//! *Role*: the runner starts one process for each workload, allocator and round, the allocators in another order each time, and
//! prints medians. The same program is the measured process too (`child`).
//!
//! | file | |
//! |---|---|
//! | `arguments.rs` | the command line |
//! | `child.rs` | what a measured process does |
//! | `plan.rs` | rows and columns of the tables |
//! | `programs.rs`, `preload.rs` | real programs, and the libraries under them |
//! | `measure.rs` | all runs, in their order |
//! | `figures.rs` | memory and latency: figures with names |
//! | `callgrind.rs` | instructions |
//! | `report.rs`, `plot.rs` | tables, CSV, SVG |

#[cfg(target_os = "linux")]
mod arguments;
#[cfg(target_os = "linux")]
mod callgrind;
#[cfg(target_os = "linux")]
mod child;
#[cfg(target_os = "linux")]
mod figures;
#[cfg(target_os = "linux")]
mod measure;
#[cfg(target_os = "linux")]
mod plan;
#[cfg(target_os = "linux")]
mod plot;
#[cfg(target_os = "linux")]
mod preload;
#[cfg(target_os = "linux")]
mod programs;
#[cfg(target_os = "linux")]
mod report;

#[cfg(target_os = "linux")]
fn main() -> std::io::Result<()> {
    use clap::Parser;

    let arguments = arguments::Arguments::parse();
    match &arguments.role {
        Some(role) => child::act(role),
        None => measure::run(&arguments),
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("this benchmark reads what Linux knows about processes");
    std::process::exit(2);
}
