//! How the library is linked.

fn main() {
    // Its blocks and its thread outlive whoever loaded it.
    println!("cargo:rustc-link-arg-cdylib=-Wl,-z,nodelete");
    println!("cargo:rerun-if-changed=build.rs");
}
