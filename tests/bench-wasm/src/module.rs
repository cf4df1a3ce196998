//! The measured modules: built by cargo, made smaller or faster by `wasm-opt`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use coreheap_bench::command::{lines, target_dir};

use crate::{NOTHING, Peer};

/// A kind of module, of which each allocator has one.
pub struct Modules<'a> {
    /// Whether they have work to do, or only the three functions.
    pub have_work: bool,
    /// For the compiler and for `wasm-opt`.
    pub opt_level: &'a str,
}

impl Modules<'_> {
    /// Builds the module of each allocator, and that of none: files that are named like them, in the folder that this returns.
    pub fn build(&self, peers: &[Peer]) -> io::Result<PathBuf> {
        let target_dir = target_dir()?.join("bench-wasm");
        let folder = target_dir.join(format!("{}-{}", if self.have_work { "work" } else { "size" }, self.opt_level));
        std::fs::create_dir_all(&folder)?;
        for peer in [&NOTHING].into_iter().chain(peers) {
            let mut cargo = Command::new("cargo");
            cargo.args(["build", "--quiet", "--release", "--features"]).arg(self.features(peer));
            cargo.arg("--target-dir").arg(&target_dir).env("CARGO_PROFILE_RELEASE_OPT_LEVEL", self.opt_level);
            lines(cargo.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("module")))?;
            let mut wasm_opt = Command::new("wasm-opt");
            wasm_opt.arg(format!("-O{}", self.opt_level)).arg("-o").arg(folder.join(file_name(peer)));
            lines(wasm_opt.arg(target_dir.join("wasm32-unknown-unknown/release/bench_wasm_module.wasm")))?;
        }
        Ok(folder)
    }

    fn features(&self, peer: &Peer) -> String {
        if self.have_work { format!("work,{}", peer.name) } else { peer.name.into() }
    }
}

/// What an allocator's module is called.
pub fn file_name(peer: &Peer) -> String {
    format!("{}.wasm", peer.name)
}
