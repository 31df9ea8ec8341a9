//! A field over time, drawn as SVG: axes with round numbers, lines that break where readings are missing, and for those
//! who do not see it a sentence.

use std::time::Duration;

use maud::{Markup, html};

use super::format;
use super::text::{Drawn, Text};
use crate::fleet::Value;
use crate::time::Timestamp;

/// The drawing's own units; style.css makes it as wide as there is room.
const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 150.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 22.0;

/// The time is cut into so many pieces, of each of which the lowest and the highest value are drawn: more than the
/// screen shows would only make the page large.
const PIECES: usize = 240;
/// Lines across, about.
const LEVELS: f64 = 4.0;
/// Marks on the axis of time, at most.
const MARKS_MAX: i64 = 7;

/// What is drawn.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    pub name: String,
    /// UCUM; empty where the field has none.
    pub unit: String,
    /// True or false, as 1 and 0: it holds until the next reading.
    pub is_flag: bool,
    /// In the order of time; none that is not finite.
    pub points: Vec<(Timestamp, f64)>,
}

/// The time that is drawn, and after how long without a reading the line breaks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub from: Timestamp,
    pub until: Timestamp,
    pub gap: Duration,
}

/// Numbers to places in the drawing.
struct Frame {
    span: Span,
    low: f64,
    high: f64,
}

impl Frame {
    fn x(&self, time: Timestamp) -> f64 {
        let length = self.span.until.seconds_since(self.span.from).max(1.0);
        LEFT + time.seconds_since(self.span.from) / length * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        TOP + (self.high - value) / (self.high - self.low) * (HEIGHT - TOP - BOTTOM)
    }
}

/// The chart, or nothing when there is no point.
pub(super) fn chart(series: &Series, span: Span, text: &Text) -> Option<Markup> {
    let (first, last) = (series.points.first()?, series.points.last()?);
    let values = || series.points.iter().map(|(_, value)| *value);
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    let shown = |value: f64| match series.is_flag {
        true => format::value(&Value::Bool(value > 0.5), "", text),
        false => format::value(&Value::Float(value), &series.unit, text),
    };
    let words = (text.chart)(&Drawn {
        name: &series.name,
        readings: series.points.len(),
        from: &format::moment(first.0),
        until: &format::moment(last.0),
        low: &shown(low),
        high: &shown(high),
        last: &shown(last.1),
    });
    let levels = if series.is_flag { vec![0.0, 1.0] } else { levels(low, high) };
    let frame = Frame {
        span,
        low: levels.first().copied().unwrap_or(low).min(low),
        high: levels.last().copied().unwrap_or(high).max(high),
    };
    let points = reduced(&series.points, span);
    let pieces = pieces(&points, span.gap);
    Some(html! {
        svg class="chart" viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(words) {
            @for level in &levels {
                @let y = format!("{:.1}", frame.y(*level));
                line class="level" x1=(LEFT) x2=(WIDTH - RIGHT) y1=(y) y2=(y) {}
                text class="value" x=(LEFT - 6.0) y=(y) dy="0.35em" text-anchor="end" {
                    @if series.is_flag { (shown(*level)) } @else { (format::value(&Value::Float(*level), "", text)) }
                }
            }
            @for (time, mark) in marks(span) {
                @let x = format!("{:.1}", frame.x(time));
                line class="mark" x1=(x) x2=(x) y1=(HEIGHT - BOTTOM) y2=(HEIGHT - BOTTOM + 4.0) {}
                text class="time" x=(x) y=(HEIGHT - 5.0) text-anchor="middle" { (mark) }
            }
            @for piece in &pieces {
                @if let [(time, value)] = piece[..] {
                    circle cx={ (format!("{:.1}", frame.x(time))) } cy={ (format!("{:.1}", frame.y(value))) } r="2" {}
                } @else {
                    polyline points=(line(piece, &frame, series.is_flag)) {}
                }
            }
        }
    })
}

fn line(piece: &[(Timestamp, f64)], frame: &Frame, in_steps: bool) -> String {
    let mut points = String::with_capacity(piece.len() * 12);
    let mut before = None;
    for (time, value) in piece {
        let (x, y) = (frame.x(*time), frame.y(*value));
        if let Some(before) = before.filter(|_| in_steps) {
            points += &format!("{x:.1},{before:.1} ");
        }
        points += &format!("{x:.1},{y:.1} ");
        before = Some(y);
    }
    points.truncate(points.trim_end().len());
    points
}

/// Of each piece of the time, the lowest and the highest value, in their order.
fn reduced(points: &[(Timestamp, f64)], span: Span) -> Vec<(Timestamp, f64)> {
    if points.len() <= 2 * PIECES {
        return points.to_vec();
    }
    let length = span.until.seconds_since(span.from).max(1.0);
    let piece = |time: Timestamp| (time.seconds_since(span.from) / length * PIECES as f64) as i64;
    let mut kept = Vec::with_capacity(2 * PIECES);
    for same in points.chunk_by(|a, b| piece(a.0) == piece(b.0)) {
        let by_value = |a: &&(Timestamp, f64), b: &&(Timestamp, f64)| a.1.total_cmp(&b.1);
        let (Some(low), Some(high)) = (same.iter().min_by(by_value), same.iter().max_by(by_value)) else { continue };
        let (first, second) = if low.0 <= high.0 { (low, high) } else { (high, low) };
        kept.push(*first);
        if second.0 > first.0 {
            kept.push(*second);
        }
    }
    kept
}

/// The parts between the gaps.
fn pieces(points: &[(Timestamp, f64)], gap: Duration) -> Vec<&[(Timestamp, f64)]> {
    points.chunk_by(|a, b| b.0.seconds_since(a.0) <= gap.as_secs_f64()).collect()
}

/// Round numbers from below the lowest value to above the highest.
fn levels(low: f64, high: f64) -> Vec<f64> {
    let range = if high > low { high - low } else { high.abs().max(1.0) * 0.1 };
    let step = round_step(range / LEVELS);
    let (first, last) = ((low / step).floor(), (high / step).ceil());
    let last = if first == last { first + 1.0 } else { last };
    let count = (last - first).clamp(1.0, 3.0 * LEVELS) as i32;
    (0..=count).map(|level| (first + f64::from(level)) * step).collect()
}

/// The next larger of 1, 2, 5, 10, 20, 50, …
pub(super) fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.max(1e-12).log10().floor());
    let round = [1.0, 2.0, 5.0, 10.0].into_iter().find(|round| round * power >= step * 0.999_999);
    round.unwrap_or(10.0) * power
}

/// Moments on the axis of time with their words: hours within a day, days beyond.
fn marks(span: Span) -> Vec<(Timestamp, String)> {
    const HOUR: i64 = 3_600;
    let (from, until) = (span.from.as_seconds(), span.until.as_seconds());
    let steps = [HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR, 48 * HOUR, 120 * HOUR, 240 * HOUR];
    let step = steps.into_iter().find(|step| (until - from) / step <= MARKS_MAX).unwrap_or(720 * HOUR);
    let first = (from + step - 1).div_euclid(step) * step;
    let word = |seconds: i64| {
        // 2026-01-31T06:00:00Z
        let moment = Timestamp::from_seconds(seconds).to_string();
        let is_midnight = seconds.rem_euclid(24 * HOUR) == 0;
        let part = if is_midnight { moment.get(5..10) } else { moment.get(11..16) };
        part.unwrap_or_default().to_owned()
    };
    let marks = (0..=MARKS_MAX).map(|mark| first + mark * step).take_while(|seconds| *seconds <= until);
    marks.map(|seconds| (Timestamp::from_seconds(seconds), word(seconds))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::text::ENGLISH;
    use super::*;

    const DAY: i64 = 86_400;
    /// A midnight.
    const START: i64 = 20_000 * DAY;

    fn span(days: i64) -> Span {
        let (from, until) = (Timestamp::from_seconds(START), Timestamp::from_seconds(START + days * DAY));
        Span { from, until, gap: Duration::from_secs(3 * 3_600) }
    }

    /// Readings at these hours.
    fn series(points: &[(i64, f64)]) -> Series {
        let points = points.iter().map(|(hour, value)| (Timestamp::from_seconds(START + hour * 3_600), *value));
        Series { name: "level_m".into(), unit: "m".into(), is_flag: false, points: points.collect() }
    }

    fn drawn(series: &Series, span: Span) -> String {
        chart(series, span, &ENGLISH).unwrap().into_string()
    }

    #[test]
    fn levels_are_round_and_hold_all_values() {
        for (low, high, expected) in [
            (0.0, 10.0, vec![0.0, 5.0, 10.0]),
            (3.1, 3.6, vec![3.0, 3.2, 3.4, 3.6]),
            (-7.0, 22.0, vec![-10.0, 0.0, 10.0, 20.0, 30.0]),
            (0.0, 0.0, vec![0.0, 0.05]),
        ] {
            let found = levels(low, high);
            assert_eq!(found.len(), expected.len(), "{found:?}");
            assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?}");
        }
        for (low, high) in [(1e15, 1e15), (-1e300, 1e300), (5e-324, 1e-320), (7.0, 7.0)] {
            let found = levels(low, high);
            assert!((2..=16).contains(&found.len()) && found[0] <= low, "{found:?}");
        }
    }

    #[test]
    fn the_axis_of_time_has_hours_in_a_day_and_days_in_a_month() {
        let words = |days| marks(span(days)).into_iter().map(|(_, word)| word).collect::<Vec<_>>();
        assert_eq!(words(1), ["10-04", "06:00", "12:00", "18:00", "10-05"]);
        assert_eq!(words(7).len(), 8);
        assert!(words(30).len() <= 8 && words(30).iter().all(|word| word.contains('-')));
    }

    #[test]
    fn a_line_breaks_where_readings_are_missing() {
        let f = |hours: &[i64], lines: usize, dots: usize| {
            let points: Vec<(i64, f64)> = hours.iter().map(|hour| (*hour, 1.0)).collect();
            let drawn = drawn(&series(&points), span(1));
            assert_eq!(
                (drawn.matches("<polyline").count(), drawn.matches("<circle").count()),
                (lines, dots),
                "{hours:?}"
            );
        };
        f(&[1, 2, 3], 1, 0);
        f(&[1, 2, 6, 7], 2, 0);
        f(&[1, 2, 6, 20, 21], 2, 1);
        f(&[5], 0, 1);
    }

    #[test]
    fn a_flag_holds_until_the_next_reading() {
        let mut flag = series(&[(0, 0.0), (2, 1.0)]);
        flag.is_flag = true;
        let drawn = drawn(&flag, span(1));
        assert!(drawn.contains("points=\"62.0,128.0 96.2,128.0 96.2,8.0\""), "{drawn}");
        assert!(drawn.contains(">yes</text>") && drawn.contains(">no</text>"), "{drawn}");
    }

    #[test]
    fn who_does_not_see_it_is_told() {
        let drawn = drawn(&series(&[(0, 2.0), (2, 1.0), (3, 4.5)]), span(1));
        let words = "level_m: 3 readings from 2024-10-04 00:00:00 UTC to 2024-10-04 03:00:00 UTC, between 1\u{a0}m and \
                     4.5\u{a0}m; the last is 4.5\u{a0}m";
        assert!(drawn.contains(&format!("role=\"img\" aria-label=\"{words}\"")), "{drawn}");
        assert!(chart(&series(&[]), span(1), &ENGLISH).is_none());
    }

    #[test]
    fn many_readings_are_drawn_without_losing_the_extremes() {
        let points: Vec<(Timestamp, f64)> = (0..100_000)
            .map(|number| (Timestamp::from_seconds(START + number), if number == 54_321 { 99.0 } else { 1.0 }))
            .collect();
        let kept = reduced(&points, span(2));
        assert!(kept.len() <= 2 * PIECES, "{}", kept.len());
        assert!(kept.iter().any(|(_, value)| *value == 99.0));
        assert!(kept.is_sorted_by_key(|(time, _)| *time));
    }

    #[test]
    fn a_name_from_outside_stays_text() {
        let mut hostile = series(&[(1, 1.0)]);
        hostile.name = "\"><script>".into();
        hostile.unit = "<b>".into();
        assert!(!drawn(&hostile, span(1)).contains("<script>") && !drawn(&hostile, span(1)).contains("<b>"));
    }
}
