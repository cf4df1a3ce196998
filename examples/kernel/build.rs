//! Names the linker script of the architecture by its full path, so that cargo may be called from any folder.

use std::env;

fn main() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/link");
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo names the architecture");
    println!("cargo::rerun-if-changed={folder}");
    // Where the script finds the sections that it includes.
    println!("cargo::rustc-link-arg-bins=-L{folder}");
    println!("cargo::rustc-link-arg-bins=-T{folder}/{arch}.ld");
}
