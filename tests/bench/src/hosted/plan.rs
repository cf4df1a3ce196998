//! Rows and columns: what is run, and on what.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use coreheap_bench::peers::PEERS;
use coreheap_bench::workloads::{WORKLOADS, Workload};

use crate::arguments::{Arguments, Group};
use crate::preload::{self, ONLY_PROGRAMS};
use crate::programs::{PROGRAMS, Program};
use coreheap_bench::process::{Sample, own_child};

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
    Program(&'static Program),
}

/// Rows and columns of a run.
pub struct Plan {
    /// All rows that are wanted.
    pub rows: Vec<Row>,
    /// The names of the allocators; the reference is one of them.
    pub columns: Vec<&'static str>,
    /// What is left out and why, in words.
    pub notes: Vec<String>,
    /// The libraries of allocators that have one.
    libraries: BTreeMap<&'static str, PathBuf>,
    /// Where programs may write.
    work_folder: PathBuf,
}

impl Plan {
    /// What the arguments ask for.
    pub fn new(arguments: &Arguments) -> io::Result<Plan> {
        let mut rows = workload_rows();
        let (here, missing): (Vec<_>, Vec<_>) = PROGRAMS.iter().partition(|program| program.is_here());
        rows.extend(here.into_iter().map(|program| Row {
            name: program.name.into(),
            shows: program.shows,
            group: Group::Programs,
            task: Task::Program(program),
        }));
        rows.retain(|row| arguments.wants(row.group, &row.name));
        // Stable: within a group the order stays.
        rows.sort_by_key(|row| row.group);
        let mut columns: Vec<&str> = PEERS.iter().map(|peer| peer.name).chain(ONLY_PROGRAMS).collect();
        if let Some(unknown) = arguments.allocators.iter().find(|name| !columns.contains(&name.as_str())) {
            return Err(io::Error::other(format!("there is no allocator {unknown}; there are {}", columns.join(", "))));
        }
        columns.retain(|name| arguments.has_column(name));
        let mut plan =
            Plan { rows, columns, notes: Vec::new(), libraries: BTreeMap::new(), work_folder: arguments.out_folder()? };
        if plan.rows.iter().any(|row| row.group == Group::Programs) {
            plan.find_libraries()?;
        }
        let missing = missing.into_iter().filter(|program| arguments.wants(Group::Programs, program.name));
        plan.notes.extend(missing.map(|program| format!("{} is not installed", program.name)));
        plan.notes.push(if cfg!(feature = "peers") {
            "rpmalloc is left out: its crate puts its own pthread_create into the whole program; talc with 16 threads as well: a spin lock".into()
        } else {
            "built without the feature `peers`: fewer allocators".into()
        });
        Ok(plan)
    }

    fn find_libraries(&mut self) -> io::Result<()> {
        for &column in &self.columns {
            match preload::library(column)? {
                Some(library) => drop(self.libraries.insert(column, library)),
                None => self.notes.push(format!("no library of {column} here to preload")),
            }
        }
        Ok(())
    }

    /// Whether there is something to measure in a cell.
    pub fn has(&self, row: &Row, column: &str) -> bool {
        match row.task {
            Task::Program(_) => self.libraries.contains_key(column),
            // talc's spin lock takes minutes when there are more threads than cores.
            Task::Workload(..) => !(ONLY_PROGRAMS.contains(&column) || (column == "talc" && row.group == Group::Many)),
        }
    }

    /// Runs a cell once.
    pub fn run(&self, row: &Row, column: &str, work: f64) -> io::Result<Sample> {
        let env = PEERS.iter().find(|peer| peer.name == column).map_or(&[][..], |peer| peer.env);
        match row.task {
            Task::Workload(workload, threads) => {
                let role = ["child", workload.name, column, &threads.to_string(), &work.to_string()];
                let line = own_child(&role, env)?;
                Sample::from_line(&line).ok_or_else(|| io::Error::other(format!("not a result: {line}")))
            }
            Task::Program(program) => program.run(&self.libraries[column], env, &self.work_folder),
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
