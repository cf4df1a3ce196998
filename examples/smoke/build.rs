//! Tells the linker where the board has its memory.

use std::env;
use std::fs;
use std::path::PathBuf;

const MICROBIT: &str = "MEMORY {
    FLASH : ORIGIN = 0x00000000, LENGTH = 256K
    RAM : ORIGIN = 0x20000000, LENGTH = 16K
}";

/// QEMU's virt board starts in RAM; as little of it as the other board has.
const VIRT: &str = "MEMORY {
    TEXT : ORIGIN = 0x80000000, LENGTH = 256K
    RAM : ORIGIN = 0x80100000, LENGTH = 16K
}
REGION_ALIAS(\"REGION_TEXT\", TEXT);
REGION_ALIAS(\"REGION_RODATA\", TEXT);
REGION_ALIAS(\"REGION_DATA\", RAM);
REGION_ALIAS(\"REGION_BSS\", RAM);
REGION_ALIAS(\"REGION_HEAP\", RAM);
REGION_ALIAS(\"REGION_STACK\", RAM);
";

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let is_arm = env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "arm");
    fs::write(out.join("memory.x"), if is_arm { MICROBIT } else { VIRT }).expect("the folder is for files like this");
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rerun-if-changed=build.rs");
}
