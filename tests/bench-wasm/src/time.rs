//! Nanoseconds of a call.

use std::io;

use coreheap_bench::numbers::geometric_mean;
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
            for Measured { name, work, values } in &measured {
                let (round, runs) = values.split_at(1);
                let start = format!("\"{title}\",{name},\"{}\",{}", WORKS[*work], round[0]);
                csv.extend(runs.iter().enumerate().map(|(run, nanoseconds)| format!("{start},{run},{nanoseconds}")));
            }
        }
    }
    write_csv("wasm-time.csv", "engine,allocator,work,round,run,ns_per_action", &csv)
}

fn table(title: &str, peers: &[Peer], measured: &[Measured]) -> Table {
    let pair_of = |peer: &str, work: usize| {
        let rounds = measured.iter().filter(|line| line.name == peer && line.work == work);
        // A pair are two actions.
        2.0 * mean_of_fastest(&rounds.map(|line| &line.values[1..]).collect::<Vec<_>>())
    };
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

/// Each round has the same runs, and other work on the machine only ever adds to one: the fastest of each counts.
fn mean_of_fastest(rounds: &[&[f64]]) -> f64 {
    let runs = rounds[0].len();
    let fastest = |run: usize| rounds.iter().map(|round| round[run]).fold(f64::INFINITY, f64::min);
    (0..runs).map(fastest).sum::<f64>() / runs as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_of_each_run_counts() {
        assert_eq!(mean_of_fastest(&[&[4.0, 9.0], &[5.0, 2.0], &[6.0, 7.0]]), 3.0);
    }
}
