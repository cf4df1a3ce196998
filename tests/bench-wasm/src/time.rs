//! Nanoseconds of a call.

use std::io;

use coreheap_bench::numbers::{geometric_mean, median};
use coreheap_bench::table::{Table, write_csv};

use crate::engine::{Measured, Plan};
use crate::module::{Kind, Modules};
use crate::work::{self, WORKS};
use crate::{Arguments, NOTHING, Peer, REFERENCE, with_nothing};

/// Measures in all engines, and prints.
pub fn run(peers: &[Peer], arguments: &Arguments) -> io::Result<()> {
    let all = with_nothing(peers);
    let plan = Plan { works: &work::NUMBERS, peers: &all, rounds: arguments.rounds, runs: arguments.runs };
    let mut csv = Vec::new();
    for opt_level in &arguments.opt_level {
        let folder = Modules { kind: Kind::Work, opt_level }.build_all(&all)?;
        for engine in &arguments.engine {
            let measured = engine.measure("time", &folder, &plan)?;
            let title = format!("{}, `opt-level = {opt_level}`", engine.title()?);
            table(&title, peers, &measured).print();
            for peer in &all {
                for (work, what) in WORKS.iter().enumerate() {
                    let parts = parts_of(&measured, peer.name, work);
                    csv.extend(parts.into_iter().enumerate().map(|(part, mut rounds)| {
                        let median = median(&mut rounds);
                        format!("\"{title}\",{},\"{what}\",{part},{},{median}", peer.name, rounds[0])
                    }));
                }
            }
        }
    }
    write_csv("wasm-time.csv", "engine,allocator,work,part,fastest_ns_per_action,median", &csv)
}

fn table(title: &str, peers: &[Peer], measured: &[Measured]) -> Table {
    // A pair are two actions.
    let pair_of = |peer: &str, work: usize| 2.0 * mean_of_fastest(&parts_of(measured, peer, work));
    let works = 0..WORKS.len();
    let floors: Vec<f64> = works.clone().map(|work| pair_of(NOTHING.name, work)).collect();
    let net_of = |peer: &str| -> Vec<f64> { works.clone().map(|work| pair_of(peer, work) - floors[work]).collect() };
    let reference = peers.iter().any(|peer| peer.name == REFERENCE).then(|| net_of(REFERENCE));
    let title = format!("Nanoseconds of two calls, less those of the work itself, and their ratio to talc's: {title}");
    let mut table = Table::new(title, WORKS.into_iter().chain(["mean ratio"]));
    for peer in peers {
        let nets = net_of(peer.name);
        let ratios: Option<Vec<f64>> =
            reference.as_ref().map(|reference| nets.iter().zip(reference).map(|(net, other)| net / other).collect());
        let ratio_of = |work: usize| ratios.as_ref().map_or(String::new(), |ratios| format!(" ({:.2})", ratios[work]));
        let cells = works.clone().map(|work| format!("{:.1}{}", nets[work], ratio_of(work)));
        let mean = ratios.as_ref().map_or("-".into(), |ratios| format!("{:.2}", geometric_mean(ratios)));
        table.row(peer.title, cells.chain([mean]).collect());
    }
    let cells = floors.iter().map(|floor| format!("{floor:.1}")).chain(["-".into()]);
    table.row("the work itself", cells.collect());
    table
}

/// The times of each part in all rounds.
fn parts_of(measured: &[Measured], peer: &str, work: usize) -> Vec<Vec<f64>> {
    let rounds: Vec<&[f64]> =
        measured.iter().filter(|line| line.name == peer && line.work == work).map(|line| &line.values[1..]).collect();
    (0..rounds[0].len()).map(|part| rounds.iter().map(|round| round[part]).collect()).collect()
}

/// A part is the same in each round, and other work on the machine only ever adds to it: the fastest of each counts.
fn mean_of_fastest(parts: &[Vec<f64>]) -> f64 {
    let fastest = |rounds: &Vec<f64>| rounds.iter().copied().fold(f64::INFINITY, f64::min);
    parts.iter().map(fastest).sum::<f64>() / parts.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_of_each_part_counts() {
        let round =
            |number: f64, times: [f64; 2]| Measured { name: "talc".into(), work: 1, values: [&[number][..], &times].concat() };
        let rounds = [round(0.0, [4.0, 9.0]), round(1.0, [5.0, 2.0]), round(2.0, [6.0, 7.0])];
        let parts = parts_of(&rounds, "talc", 1);
        assert_eq!(parts, [[4.0, 5.0, 6.0], [9.0, 2.0, 7.0]]);
        assert_eq!(mean_of_fastest(&parts), 3.0);
    }
}
