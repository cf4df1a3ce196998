//! Tells the linker where the boards have their memory.

use std::env;
use std::fs;
use std::path::PathBuf;

const MPS2: &str = include_str!("../bench-bare/firmware/memory/mps2.x");
const VIRT: &str = include_str!("../bench-bare/firmware/memory/virt.x");

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let is_arm = env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "arm");
    fs::write(out.join("memory.x"), if is_arm { MPS2 } else { VIRT }).expect("the folder is for files like this");
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rustc-link-arg-tests=-Tlink.x");
    println!("cargo::rustc-link-arg-tests=--nmagic");
    println!("cargo::rerun-if-changed=build.rs");
}
