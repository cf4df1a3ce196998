//! Tells the linker where the boards have their memory, and the programs which heap they are about.

use std::env;
use std::fs;
use std::path::PathBuf;

/// Shared with the tests on targets.
const MPS2: &str = include_str!("memory/mps2.x");
const VIRT: &str = include_str!("memory/virt.x");

fn main() {
    let setting = |name: &str, default: &str| {
        println!("cargo::rerun-if-env-changed={name}");
        env::var(name).unwrap_or_else(|_| default.into())
    };
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let is_arm = env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "arm");
    let bytes = format!("const BYTES: usize = {};\n", setting("BENCH_BYTES", "32768"));
    let heap = format!("type Heap = {};\n", setting("BENCH_HEAP", "Nothing"));
    for (file, text) in [("memory.x", if is_arm { MPS2 } else { VIRT }), ("bytes.rs", &bytes), ("heap.rs", &heap)] {
        fs::write(out.join(file), text).expect("the folder is for files like this");
    }
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rustc-link-arg-bin=measure=-Tlink.x");
    println!("cargo::rustc-link-arg-bin=measure=--nmagic");
    println!("cargo::rustc-link-arg-bin=harts=-T{}/harts.ld", env!("CARGO_MANIFEST_DIR"));
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=harts.ld");
}
