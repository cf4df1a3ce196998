//! From the module's source to what a browser loads.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use wasm_bindgen_cli_support::Bindgen;

const TARGET: &str = "wasm32-unknown-unknown";

/// A build of the module.
struct Build {
    folder: &'static str,
    features: &'static str,
    /// Whether workers share its memory.
    is_shared: bool,
}

const BUILDS: [Build; 4] = [
    Build { folder: "coreheap", features: "coreheap", is_shared: false },
    Build { folder: "default", features: "", is_shared: false },
    Build { folder: "coreheap-shared", features: "coreheap", is_shared: true },
    Build { folder: "default-shared", features: "", is_shared: true },
];

/// What a module is compiled and linked with for workers that share its memory, of at most 1 GiB. The exports are for wasm-bindgen, which
/// gives each worker a stack and thread-local memory.
const SHARED: &str = "-Ctarget-feature=+atomics -Clink-args=--shared-memory -Clink-args=--import-memory -Clink-args=--max-memory=1073741824 \
     -Clink-args=--export=__wasm_init_tls -Clink-args=--export=__tls_size -Clink-args=--export=__tls_align -Clink-args=--export=__tls_base";

/// Builds the modules; returns the folder that they are in.
pub fn build() -> Result<PathBuf> {
    let target_dir = target_dir()?;
    let built = target_dir.join("wasm-browser");
    for Build { folder, features, is_shared } in BUILDS {
        // The two kinds have nothing in common, and would throw each other's files out.
        let target_dir = if is_shared { target_dir.join("shared") } else { target_dir.clone() };
        let mut cargo = Command::new("cargo");
        if is_shared {
            // The standard library has to be built for it too, which needs nightly Rust.
            cargo.args(["+nightly", "-Zbuild-std=std,panic_abort"]).env("RUSTFLAGS", SHARED);
        }
        cargo.args(["build", "--package", "outline", "--profile", "module", "--target", TARGET, "--features", features]);
        cargo.arg("--target-dir").arg(&target_dir).current_dir(env!("CARGO_MANIFEST_DIR"));
        ensure!(cargo.status().context("cargo cannot be run")?.success(), "the module for {folder} cannot be built");
        let module = target_dir.join(TARGET).join("module/outline.wasm");
        let mut bindgen = Bindgen::new();
        bindgen.input_path(module).web(true)?.omit_default_module_path(false).typescript(false).generate(built.join(folder))?;
    }
    Ok(built)
}

/// Where cargo built this program, which has marked the folder.
fn target_dir() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let marked = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    marked.map(Path::to_path_buf).context("this program is run by cargo")
}
