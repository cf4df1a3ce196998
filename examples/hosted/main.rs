//! A full-text index over a real folder, built by several threads: once on coreheap and once on the system allocator.
//!
//! Run it with:
//!
//! ```sh
//! cargo run --release --example hosted                                    # over the Rust toolchain's documentation
//! cargo run --release --example hosted -- FOLDER                          # over a folder of yours
//! cargo run --release --example hosted -- FOLDER 'heap AND "page source"' # with queries of yours
//! ```
//!
//! What an own program needs is two lines; this one has a few more (`allocator.rs`) to be able to compare:
//!
//! ```
//! #[global_allocator]
//! static HEAP: coreheap_os::Coreheap = coreheap_os::Coreheap::new();
//! ```
//!
//! The program starts itself several times, with each allocator in turn, and puts answers, times and memory side by side.

mod allocator;
mod compare;
mod corpus;
mod index;
mod memory;
mod pipeline;
mod query;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;

use allocator::Switch;

#[global_allocator]
static ALLOCATOR: Switch = Switch::new();

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let folder = arguments.next().map(PathBuf::from);
    let queries: Vec<String> = arguments.map(|query| query.to_string_lossy().into_owned()).collect();
    // What `compare` has told this process to do, if it has started it.
    let result = match (std::env::var_os(allocator::VARIABLE), folder) {
        (None, folder) => compare::run(folder, &queries),
        (Some(task), Some(size)) if task == allocator::WARM_UP => work::touch(&size),
        (Some(_), folder) => work::run(&folder.expect("`compare` names the folder"), &queries),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hosted: {error}");
            ExitCode::FAILURE
        }
    }
}
