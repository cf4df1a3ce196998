//! Ends the build for modules with threads. The crate itself cannot: stable Rust does not tell it of the target feature `atomics`.

use std::env;

fn main() {
    let has = |name, part| env::var(name).is_ok_and(|value| value.contains(part));
    let is_wasm = has("CARGO_CFG_TARGET_FAMILY", "wasm");
    let is_threaded =
        has("TARGET", "-threads") || has("CARGO_CFG_TARGET_FEATURE", "atomics") || has("CARGO_ENCODED_RUSTFLAGS", "+atomics");
    if is_wasm && is_threaded {
        println!(
            "cargo::error=coreheap-wasm is for modules of one thread: build for a target without `atomics`; threads are not there yet"
        );
    }
    println!("cargo::rerun-if-changed=build.rs");
}
