//! Tells the linker where the board has its memory.

use std::env;
use std::fs;
use std::path::PathBuf;

/// mps2-an386 has 4 MiB of either. 64 KiB are closer to what a Cortex-M4 has.
const MEMORY: &str = "MEMORY {
    FLASH : ORIGIN = 0x00000000, LENGTH = 4M
    RAM : ORIGIN = 0x20000000, LENGTH = 64K
}";

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("memory.x"), MEMORY).expect("the folder is for files like this");
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rerun-if-changed=build.rs");
}
