//! Bytes of the least module that has three functions of an allocator, beyond those of the same with an allocator that does nothing.

use std::io::{self, Write};
use std::path::Path;

use coreheap_bench::table::{Table, grouped, write_csv};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::module::{Kind, Modules, file_name};
use crate::{NOTHING, Peer, with_nothing};

const OPT_LEVELS: [&str; 2] = ["z", "s"];

/// Builds and reads all, and prints.
pub fn run(peers: &[Peer]) -> io::Result<()> {
    let all = with_nothing(peers);
    let folders = OPT_LEVELS.into_iter().map(|opt_level| Modules { kind: Kind::Size, opt_level }.build_all(&all));
    let folders = folders.collect::<io::Result<Vec<_>>>()?;
    let bases = folders.iter().map(|folder| sizes_of(folder, &NOTHING)).collect::<io::Result<Vec<_>>>()?;
    let columns = OPT_LEVELS.into_iter().flat_map(|opt_level| [opt_level.to_string(), format!("{opt_level}, gzip")]);
    let mut table = Table::new("Bytes more than without an allocator, by `opt-level`".into(), columns);
    let mut csv = Vec::new();
    for peer in peers {
        let mut cells = Vec::new();
        for ((opt_level, folder), base) in OPT_LEVELS.into_iter().zip(&folders).zip(&bases) {
            let sizes = sizes_of(folder, peer)?;
            csv.push(format!("{opt_level},{},{},{},{},{}", peer.name, sizes[0], sizes[1], base[0], base[1]));
            cells.extend(sizes.iter().zip(base).map(|(size, base)| grouped(*size as f64 - *base as f64)));
        }
        table.row(peer.title, cells);
    }
    let cells = bases.iter().flatten().map(|&base| grouped(base as f64));
    table.row("without", cells.collect());
    table.print();
    write_csv("wasm-size.csv", "opt_level,allocator,bytes,gzip,bytes_without,gzip_without", &csv)
}

/// Bytes of a module, as they are and compressed.
fn sizes_of(folder: &Path, peer: &Peer) -> io::Result<[usize; 2]> {
    let bytes = std::fs::read(folder.join(file_name(peer)))?;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&bytes)?;
    Ok([bytes.len(), encoder.finish()?.len()])
}
