//! Rows and columns: what is run, and on what.

use std::io;

use coreheap_bench::peers::{PEERS, REFERENCE};
use coreheap_bench::workloads::{WORKLOADS, Workload};

use crate::arguments::{Arguments, Group};
use crate::process::{Sample, own_child};

/// A line of the tables.
pub struct Row {
    /// What it is called.
    pub name: String,
    /// What it does.
    pub shows: &'static str,
    /// Where it belongs.
    pub group: Group,
    task: Task,
}

enum Task {
    Workload(&'static Workload, usize),
}

/// Rows and columns of a run.
pub struct Plan {
    /// All rows that are wanted.
    pub rows: Vec<Row>,
    /// The names of the allocators; the reference is one of them.
    pub columns: Vec<&'static str>,
}

impl Plan {
    /// What the arguments ask for.
    pub fn new(arguments: &Arguments) -> io::Result<Plan> {
        let mut rows = workload_rows();
        rows.retain(|row| arguments.wants(row.group, &row.name));
        // Stable: within a group the order stays.
        rows.sort_by_key(|row| row.group);
        let mut columns: Vec<&str> = PEERS.iter().map(|peer| peer.name).collect();
        if let Some(unknown) = arguments.allocators.iter().find(|name| !columns.contains(&name.as_str())) {
            return Err(io::Error::other(format!("there is no allocator {unknown}; there are {}", columns.join(", "))));
        }
        columns.retain(|name| {
            *name == REFERENCE || arguments.allocators.is_empty() || arguments.allocators.iter().any(|wanted| wanted == name)
        });
        Ok(Plan { rows, columns })
    }
}

impl Row {
    /// Whether an allocator is not to be measured here: talc's spin lock takes minutes when there are more threads than cores.
    pub fn leaves_out(&self, column: &str) -> bool {
        column == "talc" && self.group == Group::Many
    }

    /// Runs it once on an allocator.
    pub fn run(&self, column: &str, work: f64) -> io::Result<Sample> {
        match self.task {
            Task::Workload(workload, threads) => {
                let env = PEERS.iter().find(|peer| peer.name == column).map_or(&[][..], |peer| peer.env);
                let role = ["child", workload.name, column, &threads.to_string(), &work.to_string()];
                let line = own_child(&role, env)?;
                Sample::from_line(&line).ok_or_else(|| io::Error::other(format!("not a result: {line}")))
            }
        }
    }
}

fn workload_rows() -> Vec<Row> {
    let rows = WORKLOADS.iter().flat_map(|workload| workload.threads.iter().map(move |&threads| (workload, threads)));
    rows.map(|(workload, threads)| Row {
        name: format!("{}/{threads}", workload.name),
        shows: workload.shows,
        group: match threads {
            1 => Group::One,
            2 => Group::Two,
            _ => Group::Many,
        },
        task: Task::Workload(workload, threads),
    })
    .collect()
}
