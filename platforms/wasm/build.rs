//! Sets the configuration `threads` for modules whose workers share one memory. The crate itself cannot: stable Rust does not tell it of
//! the target feature `atomics`.

use std::env;

fn main() {
    let has = |name, part| env::var(name).is_ok_and(|value| value.contains(part));
    let is_wasm = has("CARGO_CFG_TARGET_FAMILY", "wasm");
    let rustc_tells = has("CARGO_CFG_TARGET_FEATURE", "atomics");
    println!("cargo::rustc-check-cfg=cfg(threads)");
    if is_wasm && (rustc_tells || has("TARGET", "-threads") || has("CARGO_ENCODED_RUSTFLAGS", "+atomics")) {
        println!("cargo::rustc-cfg=threads");
        if !rustc_tells && !has("CARGO_CFG_TARGET_OS", "wasi") {
            println!(
                "cargo::error=coreheap-wasm needs nightly Rust for workers on this target, as the standard library does, which is to be built \
                 with `atomics` too (-Zbuild-std); wasm32-wasip1-threads needs neither"
            );
        }
    }
    println!("cargo::rerun-if-changed=build.rs");
}
