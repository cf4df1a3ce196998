//! All runs, in their order.

use std::io;
use std::path::Path;

use coreheap_bench::numbers::Random;

use crate::arguments::{Arguments, Group};
use crate::plan::Plan;
use crate::plot::Picture;
use crate::report::{self, Measure, Results};
use crate::{callgrind, figures};
use coreheap_bench::process::{Sample, own_child, warm};

/// Measures what the arguments ask for, and reports it.
pub fn run(arguments: &Arguments) -> io::Result<()> {
    let plan = Plan::new(arguments)?;
    let groups = [Group::Memory, Group::Latency];
    if arguments.list {
        plan.rows.iter().for_each(|row| println!("{:22}{:20}{}", row.name, row.group.title(), row.shows));
        for group in groups {
            figures::cases(arguments, group)
                .iter()
                .for_each(|case| println!("{:22}{:20}{}", case.name, group.title(), case.shows));
        }
        println!("\nallocators: {}", plan.columns.join(", "));
        return Ok(());
    }
    if arguments.rounds == 0 || (plan.rows.is_empty() && groups.iter().all(|group| figures::cases(arguments, *group).is_empty()))
    {
        return Err(io::Error::other("a row and a round at least"));
    }
    let folder = arguments.out_folder()?;
    if !plan.rows.is_empty() {
        let results = measure(arguments, plan);
        report(arguments, &results, &folder)?;
    }
    for group in groups {
        figures::run(arguments, group)?;
    }
    if arguments.callgrind {
        callgrind::run(arguments)?;
    }
    println!("CSV and plots: {}", folder.display());
    Ok(())
}

fn report(arguments: &Arguments, results: &Results, folder: &Path) -> io::Result<()> {
    let time = if arguments.wall { Measure::Wall } else { Measure::Cpu };
    println!("{}\n{}", report::table(results, time), report::table(results, Measure::Peak));
    // The harness with all its allocators linked in is in every peak of a workload.
    let idle = own_child(&["child", "lifo", "system", "1", "0"], &[]).ok().and_then(|line| Sample::from_line(&line));
    if let Some(idle) = idle {
        println!(
            "A measured process that does nothing has a peak of {:.1} MiB; it is in the rows of all workloads.",
            idle.peak_kib as f64 / 1024.0
        );
    }
    println!("{}", report::losses(results, time));
    std::fs::write(folder.join("runs.csv"), report::runs_csv(results))?;
    std::fs::write(folder.join("summary.csv"), report::summary_csv(results, time))?;
    plot(results, time, &folder.join("time.svg"))?;
    plot(results, Measure::Peak, &folder.join("peak-rss.svg"))
}

fn plot(results: &Results, measure: Measure, path: &Path) -> io::Result<()> {
    let rows = results.plan.rows.iter().map(|row| row.name.as_str()).collect();
    let ratio = |row: usize, column: usize| results.ratio(measure, row, column);
    Picture { title: measure.title(), rows, columns: &results.plan.columns, ratio: &ratio }.save(path)
}

fn measure(arguments: &Arguments, plan: Plan) -> Results {
    let mut random = Random::new();
    let mut samples: Vec<Vec<Vec<Sample>>> = vec![vec![Vec::new(); plan.columns.len()]; plan.rows.len()];
    let mut failures = Vec::new();
    // A round is everything once: what the machine does meanwhile, in minutes, meets all.
    for round in 0..arguments.rounds {
        for (row, samples) in plan.rows.iter().zip(&mut samples) {
            eprint!("\rround {} of {}: {:24}", round + 1, arguments.rounds, row.name);
            for place in shuffled(plan.columns.len(), &mut random) {
                let column = plan.columns[place];
                if !plan.has(row, column) {
                    continue;
                }
                warm(arguments.warm);
                match plan.run(row, column, arguments.work) {
                    Ok(sample) => samples[place].push(sample),
                    Err(error) => failures.push(format!("{} on {column}, round {}: {error}", row.name, round + 1)),
                }
            }
        }
    }
    eprint!("\r{:50}\r", "");
    Results { plan, samples, failures }
}

/// The numbers below `count`, in any order.
fn shuffled(count: usize, random: &mut Random) -> Vec<usize> {
    let mut places: Vec<usize> = (0..count).collect();
    for end in (1..count).rev() {
        places.swap(end, random.below(end + 1));
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffled_numbers_are_all_there() {
        let mut random = Random::new();
        let mut first = [0; 4];
        for _ in 0..400 {
            let mut places = shuffled(4, &mut random);
            first[places[0]] += 1;
            places.sort_unstable();
            assert_eq!(places, [0, 1, 2, 3]);
        }
        assert!(first.iter().all(|&count| count > 50), "{first:?}");
    }
}
