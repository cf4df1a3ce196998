//! Runs steps side by side, in lanes: building leaves a processor idle at times, and so do most tests.
//!
//! A lane takes the first step of the table that can run now: what it needs is there or not to be had in the background, and no other step
//! builds in its target folder, which cargo would make it wait for.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::report::Report;
use crate::rig::{self, Need};
use crate::steps::Step;

struct State {
    /// In the order of the table.
    waiting: Vec<&'static Step>,
    running: Vec<Running>,
    /// What is installed in the background now.
    pending: Vec<Need>,
    started: usize,
    /// With their numbers in the table.
    reports: Vec<io::Result<Report>>,
}

struct Running {
    step: &'static Step,
    is_building: bool,
}

impl State {
    /// The first step that can run now.
    fn next(&self) -> Option<usize> {
        self.waiting.iter().position(|step| {
            !step.needs.iter().any(|need| self.pending.contains(need))
                && !self.running.iter().any(|running| running.is_building && running.step.builds_in() == step.builds_in())
        })
    }
}

/// The steps of one run.
pub struct Lanes {
    state: Mutex<State>,
    changed: Condvar,
}

impl Lanes {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that this step has built all that it is going to.
    pub fn has_built(&self, step: &Step) {
        let mut state = self.lock();
        state.running.iter_mut().filter(|running| running.step.name == step.name).for_each(|running| running.is_building = false);
        self.changed.notify_all();
    }

    /// Runs steps until none is left to begin.
    fn drive(&self, total: usize, run: &(impl Fn(&'static Step, &Lanes) -> io::Result<Report> + Sync)) {
        let mut state = self.lock();
        while !state.waiting.is_empty() {
            let Some(index) = state.next() else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let step = state.waiting.remove(index);
            state.running.push(Running { step, is_building: true });
            state.started += 1;
            println!("[{:2}/{total}] {}: {}", state.started, step.name, step.shows);
            drop(state);
            let report = run(step, self);
            state = self.lock();
            if let Ok(report) = &report {
                println!("        {}", report.row());
            }
            state.reports.push(report);
            state.running.retain(|running| running.step.name != step.name);
            self.changed.notify_all();
        }
    }
}

/// Runs all these steps in so many lanes, and installs what they need beside them.
pub fn run(
    steps: &[&'static Step],
    lanes: usize,
    run: impl Fn(&'static Step, &Lanes) -> io::Result<Report> + Sync,
) -> io::Result<Vec<Report>> {
    let batches = rig::batches(steps.iter().map(|step| step.needs));
    let pending = batches.iter().flat_map(|batch| batch.needs.iter().copied()).collect();
    let state = State { waiting: steps.to_vec(), running: Vec::new(), pending, started: 0, reports: Vec::new() };
    let all = Lanes { state: Mutex::new(state), changed: Condvar::new() };
    thread::scope(|scope| {
        let all = &all;
        for batch in batches {
            scope.spawn(move || {
                // Where this fails the step that needs it tries by itself, and says what is wrong.
                batch.install();
                all.lock().pending.retain(|need| !batch.needs.contains(need));
                all.changed.notify_all();
            });
        }
        for _ in 0..lanes {
            scope.spawn(|| all.drive(steps.len(), &run));
        }
    });
    let reports = all.state.into_inner().unwrap_or_else(PoisonError::into_inner).reports;
    let mut reports = reports.into_iter().collect::<io::Result<Vec<Report>>>()?;
    reports.sort_by_key(|report| steps.iter().position(|step| step.name == report.step.name));
    Ok(reports)
}
