//! The command line.

use std::io;
use std::path::PathBuf;

use coreheap_bench::peers::REFERENCE;

use clap::{Parser, Subcommand, ValueEnum};

/// coreheap beside other allocators: time and peak memory, one process for each measurement.
#[derive(Parser)]
#[command(name = "hosted", bin_name = "cargo xtask bench hosted --")]
pub struct Arguments {
    /// Rounds; in each one every allocator runs every workload once
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// Only the rows whose name starts so (several: separated by commas)
    #[arg(long, value_name = "PREFIX", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Only these allocators (mimalloc, to which the ratios are, is always among them)
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub allocators: Vec<String>,
    /// Only these groups of rows
    #[arg(long, value_name = "GROUPS", value_delimiter = ',')]
    pub group: Vec<Group>,
    /// Where the CSV and the plots go [default: `bench` in cargo's target folder]
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
    /// Compare elapsed time; without it the time of all cores together, which other programs on the machine disturb less
    #[arg(long)]
    pub wall: bool,
    /// MiB of huge pages that a throw-away process touches before each run, so that the host of a virtual machine backs them
    #[arg(long, default_value_t = 384, value_name = "MIB")]
    pub warm: usize,
    /// How much work a run is, beside the usual
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    pub work: f64,
    /// Count instructions as well, with callgrind, where one thread works
    #[arg(long)]
    pub callgrind: bool,
    /// List the rows and allocators, and do nothing
    #[arg(long)]
    pub list: bool,
    #[command(subcommand)]
    pub role: Option<Role>,
}

/// What a measured process is to do.
#[derive(Subcommand)]
pub enum Role {
    /// Run one workload
    #[command(hide = true)]
    Child { workload: String, allocator: String, threads: usize, work: f64 },
    /// Measure memory or latency
    #[command(hide = true)]
    Figures { case: String, allocator: String },
    /// Touch so many MiB of huge pages
    #[command(hide = true)]
    Warm { mib: usize },
}

/// Rows that share a geometric mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Group {
    /// One thread
    One,
    /// Two threads
    Two,
    /// 16 and 64 threads
    Many,
    /// Real programs, by `LD_PRELOAD`
    Programs,
    /// Memory that allocators take
    Memory,
    /// Time of single calls
    Latency,
}

impl Group {
    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Group::One => "one thread",
            Group::Two => "two threads",
            Group::Many => "16 and 64 threads",
            Group::Programs => "real programs",
            Group::Memory => "memory",
            Group::Latency => "latency",
        }
    }
}

impl Arguments {
    /// Whether a row is wanted.
    pub fn wants(&self, group: Group, name: &str) -> bool {
        (self.group.is_empty() || self.group.contains(&group))
            && (self.only.is_empty() || self.only.iter().any(|prefix| name.starts_with(prefix.as_str())))
    }

    /// Whether an allocator is wanted.
    pub fn has_column(&self, name: &str) -> bool {
        name == REFERENCE || self.allocators.is_empty() || self.allocators.iter().any(|wanted| wanted == name)
    }

    /// Where the CSV and the plots go.
    pub fn out_folder(&self) -> io::Result<PathBuf> {
        let folder = match &self.out {
            Some(folder) => folder.clone(),
            // The program lies in `target/release`.
            None => std::env::current_exe()?.ancestors().nth(2).map(|target| target.join("bench")).unwrap_or_default(),
        };
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}
