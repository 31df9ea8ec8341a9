//! Cuts a schedule that fails down to the steps that it takes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::model::Checked;
use super::schedule::Schedule;
use super::world;

/// Runs a schedule; a panic is a failure like any other.
pub fn outcome(schedule: &Schedule) -> Checked {
    catch_unwind(AssertUnwindSafe(|| world::run(schedule))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Err(format!("panicked: {}", text.unwrap_or_default()))
    })
}

/// The failure of a schedule that fails: what was not true, the seed, and the steps that it takes.
pub fn report(schedule: Schedule) -> String {
    let length = schedule.steps.len();
    let shortest = shortest(schedule);
    let sentence = outcome(&shortest).err().unwrap_or_else(|| "it fails in some runs only".into());
    format!(
        "{sentence}\n{shortest}{} of {length} steps; run it alone: CITYWIRE_SIMULATION_SEED={} cargo test --lib simulation",
        shortest.steps.len(),
        shortest.seed
    )
}

/// Leaves out runs of steps, ever shorter ones, while it still fails.
fn shortest(mut schedule: Schedule) -> Schedule {
    let mut length = schedule.steps.len() / 2;
    while length > 0 {
        let mut from = 0;
        let mut cut_any = false;
        while from < schedule.steps.len() {
            let mut cut = schedule.clone();
            cut.steps.drain(from..(from + length).min(cut.steps.len()));
            if outcome(&cut).is_err() {
                schedule = cut;
                cut_any = true;
            } else {
                from += length;
            }
        }
        if !cut_any {
            length /= 2;
        }
    }
    schedule
}
