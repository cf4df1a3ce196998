//! Code and data of the least firmware that uses an allocator, beyond those of the same with an allocator that refuses everything.

use std::io;
use std::path::Path;

use coreheap_bench::table::{Table, grouped, write_csv};
use object::{Object, ObjectSection, SectionKind};

use crate::Peer;
use crate::firmware::Program;

const TARGETS: [&str; 3] = ["thumbv6m-none-eabi", "thumbv7em-none-eabihf", "riscv32imc-unknown-none-elf"];
const OPT_LEVELS: [&str; 2] = ["s", "z"];
/// A region that all can use; it is not counted.
const BYTES: usize = 64 << 10;

/// Bytes of `.text` with read-only data, of `.data`, and of `.bss`.
type Sizes = [i64; 3];

/// Builds and reads all, and prints.
pub fn run(peers: &[Peer]) -> io::Result<()> {
    let columns = TARGETS.iter().flat_map(|target| OPT_LEVELS.map(|level| format!("{}, {level}", short(target))));
    let title = "Bytes, code / `.data` / `.bss` without the region, by target and `opt-level`";
    let mut table = Table::new(title.into(), columns);
    let programs: Vec<_> = TARGETS.iter().flat_map(|&target| OPT_LEVELS.map(|opt_level| (target, opt_level))).collect();
    let sizes = |(target, opt_level): (&str, &str), heap| {
        sizes_of(&Program { name: "size", target, opt_level, bytes: BYTES, heap: Some(heap) }.build()?)
    };
    let bases = programs.iter().map(|&program| sizes(program, "Nothing")).collect::<io::Result<Vec<Sizes>>>()?;
    let (mut csv, mut notes) = (Vec::new(), Vec::new());
    // What interrupts may use; and those of coreheap that keep out nobody.
    for peer in peers.iter().filter(|peer| !peer.is_unguarded()) {
        let mut cells = Vec::new();
        for (&(target, opt_level), base) in programs.iter().zip(&bases) {
            cells.push(match sizes((target, opt_level), peer.heap) {
                Ok([text, data, bss]) => {
                    let [text, data, bss] = [text - base[0], data - base[1], bss - base[2] - BYTES as i64];
                    csv.push(format!("{target},{opt_level},\"{}\",{text},{data},{bss}", peer.name));
                    [text, data, bss].map(|bytes| grouped(bytes as f64)).join(" / ")
                }
                Err(error) => {
                    notes.push(format!("{} for {target}: {error}", peer.name));
                    "-".into()
                }
            });
        }
        table.row(peer.name, cells);
    }
    table.print();
    notes.dedup();
    notes.iter().for_each(|note| println!("\n{note}"));
    write_csv("bare-size.csv", "target,opt_level,allocator,text,data,bss", &csv)
}

/// The architecture.
fn short(target: &str) -> &str {
    target.split('-').next().unwrap_or(target)
}

fn sizes_of(program: &Path) -> io::Result<Sizes> {
    let bytes = std::fs::read(program)?;
    let file = object::File::parse(&*bytes).map_err(io::Error::other)?;
    let mut sizes = [0; 3];
    for section in file.sections() {
        let place = match section.kind() {
            // Firmware leaves out the tables for unwinding.
            _ if section.name().is_ok_and(|name| name.starts_with(".eh_frame")) => continue,
            SectionKind::Text | SectionKind::ReadOnlyData | SectionKind::ReadOnlyString => 0,
            SectionKind::Data => 1,
            SectionKind::UninitializedData => 2,
            _ => continue,
        };
        sizes[place] += section.size() as i64;
    }
    Ok(sizes)
}
