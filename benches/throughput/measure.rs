//! What is measured, and how it is shown.

use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    Live,
    Backlog,
}

/// One run of one subscriber.
#[derive(Clone, Copy, Debug)]
pub struct Result {
    acknowledged_per_second: f64,
    done_per_second: f64,
    cpu_seconds_per_million: f64,
}

impl Result {
    /// All `count` messages were acknowledged after one time, and done with after another.
    pub fn new(count: usize, acknowledged: Duration, done: Duration, cpu_seconds: f64) -> Result {
        let count = count as f64;
        Result {
            acknowledged_per_second: count / acknowledged.as_secs_f64(),
            done_per_second: count / done.as_secs_f64(),
            cpu_seconds_per_million: cpu_seconds / count * 1e6,
        }
    }
}

impl Result {
    pub fn acknowledged_per_second(&self) -> f64 {
        self.acknowledged_per_second
    }
}

/// The median of each figure.
pub fn median(results: Vec<Result>) -> Result {
    let of = |figure: fn(&Result) -> f64| {
        let mut figures: Vec<f64> = results.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    Result {
        acknowledged_per_second: of(|result| result.acknowledged_per_second),
        done_per_second: of(|result| result.done_per_second),
        cpu_seconds_per_million: of(|result| result.cpu_seconds_per_million),
    }
}

/// Prints a case's results, each beside the first.
pub fn print_table(case: Case, rows: &[(&str, Result)]) {
    let title = match case {
        Case::Live => "live: while they are published",
        Case::Backlog => "backlog: from a session in which all wait, start of the process included",
    };
    println!("\n{title}");
    println!("  {:38} {:>13} {:>11} {:>14} {:>7}", "", "acknowledged", "stored", "CPU s/million", "ratio");
    let base = rows.first().map_or(1.0, |(_, result)| result.cpu_seconds_per_million);
    for (name, result) in rows {
        println!(
            "  {name:38} {:>11.0}/s {:>9.0}/s {:>14.1} {:>6.2}x",
            result.acknowledged_per_second,
            result.done_per_second,
            result.cpu_seconds_per_million,
            result.cpu_seconds_per_million / base
        );
    }
}
