//! The measured modules: built by cargo, made smaller or faster by `wasm-opt`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use coreheap_bench::command::{lines, target_dir};

use crate::Peer;

/// What a module has beside the three functions of an allocator.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Size,
    /// Work.
    Work,
    /// Work for several workers on a shared memory. That takes nightly Rust: the standard library is to be built for it too.
    Workers,
}

/// Modules of a kind, of which each allocator has one.
pub struct Modules<'a> {
    pub kind: Kind,
    /// For the compiler and for `wasm-opt`.
    pub opt_level: &'a str,
}

/// The last four are what `runner/worker.mjs` needs to give a worker its own stack and thread-local memory.
const SHARED_MEMORY: &str = "-Ctarget-feature=+atomics,+bulk-memory,+mutable-globals -Clink-arg=--shared-memory \
    -Clink-arg=--import-memory -Clink-arg=--initial-memory=2097152 -Clink-arg=--max-memory=268435456 \
    -Clink-arg=--export=__stack_pointer -Clink-arg=--export=__wasm_init_tls -Clink-arg=--export=__tls_size \
    -Clink-arg=--export=__tls_align";

impl Modules<'_> {
    /// Builds the module of each allocator: files that are named like them, in the folder that this returns.
    pub fn build_all(&self, peers: &[Peer]) -> io::Result<PathBuf> {
        peers.iter().try_for_each(|peer| self.build(peer))?;
        self.folder()
    }

    /// Builds one of them.
    pub fn build(&self, peer: &Peer) -> io::Result<()> {
        let target_dir = target_dir()?.join("bench-wasm").join(self.kind.toolchain());
        let folder = self.folder()?;
        std::fs::create_dir_all(&folder)?;
        let mut cargo = Command::new("rustup");
        cargo.args(["run", self.kind.toolchain(), "cargo", "build", "--quiet", "--release", "--target-dir"]).arg(&target_dir);
        cargo.args(["--features", &format!("{},{}", self.kind.feature(), peer.name)]);
        if self.kind == Kind::Workers {
            cargo.arg("-Zbuild-std=std,panic_abort").env("RUSTFLAGS", SHARED_MEMORY);
        }
        cargo.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", self.opt_level);
        lines(cargo.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("module")))?;
        let mut wasm_opt = Command::new("wasm-opt");
        wasm_opt.arg(format!("-O{}", self.opt_level)).arg("-o").arg(folder.join(file_name(peer)));
        lines(wasm_opt.arg(target_dir.join("wasm32-unknown-unknown/release/bench_wasm_module.wasm")))?;
        Ok(())
    }

    /// Where they are.
    pub fn folder(&self) -> io::Result<PathBuf> {
        Ok(target_dir()?.join("bench-wasm").join(format!("{}-{}", self.kind.feature(), self.opt_level)))
    }
}

impl Kind {
    fn toolchain(self) -> &'static str {
        if self == Kind::Workers { "nightly" } else { "stable" }
    }

    fn feature(self) -> &'static str {
        match self {
            Kind::Size => "size",
            Kind::Work => "work",
            Kind::Workers => "workers",
        }
    }
}

/// What an allocator's module is called.
pub fn file_name(peer: &Peer) -> String {
    format!("{}.wasm", peer.name)
}
