//! Tells the linker where the boards have their memory, and the programs which heap they are about.

use std::env;
use std::fs;
use std::path::PathBuf;

/// QEMU's mps2: code and read-only data in its fast memory, all else in the big one.
const MPS2: &str = "MEMORY {
    FLASH : ORIGIN = 0x00000000, LENGTH = 4M
    RAM : ORIGIN = 0x21000000, LENGTH = 16M
}";

/// QEMU's virt starts in RAM.
const VIRT: &str = "MEMORY {
    TEXT : ORIGIN = 0x80000000, LENGTH = 4M
    RAM : ORIGIN = 0x80400000, LENGTH = 64M
}
REGION_ALIAS(\"REGION_TEXT\", TEXT);
REGION_ALIAS(\"REGION_RODATA\", TEXT);
REGION_ALIAS(\"REGION_DATA\", RAM);
REGION_ALIAS(\"REGION_BSS\", RAM);
REGION_ALIAS(\"REGION_HEAP\", RAM);
REGION_ALIAS(\"REGION_STACK\", RAM);
";

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
