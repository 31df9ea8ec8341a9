//! The result, as a table for people.

use super::account::Account;
use super::outcome::{Outcome, Row};

const HEAD: [&str; 12] = [
    "scenario",
    "place",
    "published",
    "stored",
    "lost",
    "indistinct",
    "duplicated",
    "altered",
    "disordered",
    "repeated",
    "kills",
    "time",
];

/// A line for each place; then what the kills met.
pub fn table(outcomes: &[Outcome]) -> String {
    let mut lines = vec![HEAD.map(String::from)];
    for outcome in outcomes {
        lines.extend(outcome.rows.iter().enumerate().map(|(index, row)| line(outcome, row, index == 0)));
    }
    let widths: Vec<usize> =
        (0..HEAD.len()).map(|column| lines.iter().map(|line| line[column].len()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for line in &lines {
        for (column, cell) in line.iter().enumerate() {
            let width = widths[column];
            // Words to the left, figures to the right.
            let cell = if column < 2 { format!("{cell:<width$}  ") } else { format!("{cell:>width$}  ") };
            text.push_str(&cell);
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text.push_str(
        "\nThe rows VictoriaMetrics and Mosquitto tell what those programs lost or repeated by themselves; the other rows do \
         not count that.\nRepeated: redelivered by Mosquitto and known to the journal, or written again to a sink as the \
         same point.\nIndistinct: acknowledged, and perhaps taken for an earlier message of the same bytes: a Mosquitto \
         that was killed gave it the packet identifier of that one, and its first delivery was lost with the connection.\n\n",
    );
    for outcome in outcomes {
        text.push_str(&format!("{}: {}\n", outcome.scenario.name, kills(outcome)));
    }
    for outcome in outcomes {
        for line in &outcome.missing {
            text.push_str(&format!("{}: {line}\n", outcome.scenario.name));
        }
    }
    text
}

fn line(outcome: &Outcome, row: &Row, is_first: bool) -> [String; HEAD.len()] {
    let Account { published, stored, lost, indistinct, duplicated, altered, disordered, repeated } = row.account;
    let once = |text: String| if is_first { text } else { String::new() };
    let all = outcome.kills;
    [
        once(outcome.scenario.name.to_owned()),
        row.place.to_owned(),
        published.to_string(),
        stored.to_string(),
        lost.to_string(),
        indistinct.to_string(),
        duplicated.to_string(),
        altered.to_string(),
        disordered.to_string(),
        repeated.to_string(),
        once((all.citywire + all.mosquitto + all.database + all.stops).to_string()),
        once(format!("{:.0} s", outcome.took.as_secs_f64())),
    ]
}

fn kills(outcome: &Outcome) -> String {
    let all = outcome.kills;
    let mut parts = Vec::new();
    if all.citywire > 0 {
        parts.push(format!(
            "citywire killed {} times ({} while it started, {} while it stopped)",
            all.citywire, all.starting, all.stopping
        ));
    }
    for (name, count) in [("Mosquitto", all.mosquitto), ("VictoriaMetrics", all.database)] {
        if count > 0 {
            parts.push(format!("{name} killed {count} times"));
        }
    }
    if all.stops > 0 {
        parts.push(format!("citywire stopped by SIGTERM {} times, each time with exit code 0 in time", all.stops));
    }
    parts.join(", ")
}
