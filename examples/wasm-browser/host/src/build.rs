//! From the module's source to what a browser loads.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use wasm_bindgen_cli_support::Bindgen;

const TARGET: &str = "wasm32-unknown-unknown";
/// The module's builds: a folder each, and the features that make the difference.
const BUILDS: [(&str, &str); 2] = [("coreheap", "coreheap"), ("default", "")];

/// Builds the modules; returns the folder that they are in.
pub fn build() -> Result<PathBuf> {
    let target_dir = target_dir()?;
    let built = target_dir.join("wasm-browser");
    for (folder, features) in BUILDS {
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--package", "outline", "--profile", "module", "--target", TARGET, "--features", features]);
        cargo.arg("--target-dir").arg(&target_dir).current_dir(env!("CARGO_MANIFEST_DIR"));
        ensure!(cargo.status().context("cargo cannot be run")?.success(), "the module for {folder} cannot be built");
        let module = target_dir.join(TARGET).join("module/outline.wasm");
        Bindgen::new()
            .input_path(module)
            .web(true)?
            .omit_default_module_path(false)
            .typescript(false)
            .generate(built.join(folder))?;
    }
    Ok(built)
}

/// Where cargo built this program, which has marked the folder.
fn target_dir() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let marked = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    marked.map(Path::to_path_buf).context("this program is run by cargo")
}
