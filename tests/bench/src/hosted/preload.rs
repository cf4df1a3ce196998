//! The libraries that put an allocator under a program that exists already.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use coreheap_bench::peers::REFERENCE;

/// Where distributions put libraries.
const FOLDERS: [&str; 5] =
    ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib"];

/// Columns that only programs have.
pub const ONLY_PROGRAMS: [&str; 1] = ["tcmalloc"];

/// The library of an allocator, if it is here; `None` for allocators that are crates only.
pub fn library(column: &str) -> io::Result<Option<PathBuf>> {
    let own = std::env::current_exe()?;
    let folder = own.parent().ok_or_else(|| io::Error::other("a program lies in a folder"))?;
    Ok(match column {
        "coreheap" | "coreheap-portable" => existing(folder.join("libcoreheap_c.so")),
        REFERENCE => Some(mimalloc(folder)?),
        // A program may bring another allocator of its own, as redis does; this puts the system's before it.
        "system" => Some("libc.so.6".into()),
        "jemalloc" => find("libjemalloc.so.2"),
        "tcmalloc" => find("libtcmalloc_minimal.so.4"),
        _ => None,
    })
}

fn existing(path: PathBuf) -> Option<PathBuf> {
    path.exists().then_some(path)
}

fn find(name: &str) -> Option<PathBuf> {
    FOLDERS.iter().find_map(|folder| existing(Path::new(folder).join(name)))
}

/// mimalloc as a library, from the sources of the crate that the other workloads use; built once.
fn mimalloc(folder: &Path) -> io::Result<PathBuf> {
    let library = folder.join("libmimalloc-bench.so");
    if library.exists() {
        return Ok(library);
    }
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let output = Command::new("cargo").args(["metadata", "--format-version", "1", "--manifest-path", manifest]).output()?;
    let metadata = String::from_utf8_lossy(&output.stdout).into_owned();
    let sources =
        manifest_folder(&metadata, "libmimalloc-sys").ok_or_else(|| io::Error::other("cargo knows no libmimalloc-sys"))?;
    let sources = sources.join("c_src/mimalloc/v3");
    // As its own makefile builds a release.
    let status = Command::new("cc")
        .args(["-O3", "-DNDEBUG", "-DMI_BUILD_RELEASE", "-DMI_MALLOC_OVERRIDE", "-DMI_SHARED_LIB", "-DMI_SHARED_LIB_EXPORT"])
        .args(["-shared", "-fPIC", "-std=gnu11", "-fvisibility=hidden", "-ftls-model=initial-exec", "-fno-builtin-malloc"])
        .arg("-I")
        .arg(sources.join("include"))
        .arg(sources.join("src/static.c"))
        .arg("-o")
        .arg(&library)
        .args(["-lpthread"])
        .status()?;
    if status.success() { Ok(library) } else { Err(io::Error::other("cc cannot build mimalloc's library")) }
}

/// Where a package of cargo's lies: the one whose manifest is in a folder of this name and some version.
fn manifest_folder(metadata: &str, package: &str) -> Option<PathBuf> {
    let paths = metadata.split("\"manifest_path\":\"").skip(1).filter_map(|rest| rest.split('"').next());
    let folders = paths.filter_map(|path| path.strip_suffix("/Cargo.toml"));
    let mut wanted = folders.filter(|folder| {
        let name = folder.rsplit('/').next().unwrap_or("");
        name.strip_prefix(package).is_some_and(|version| version.starts_with('-'))
    });
    wanted.next().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_found_in_cargos_words() {
        let metadata = r#"{"name":"a","manifest_path":"/r/a-sys-1.0/Cargo.toml"},{"manifest_path":"/r/a-0.1.2/Cargo.toml"}"#;
        assert_eq!(manifest_folder(metadata, "a-sys"), Some("/r/a-sys-1.0".into()));
        assert_eq!(manifest_folder(metadata, "b"), None);
    }
}
