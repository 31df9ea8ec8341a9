//! What a device said over time, drawn field by field.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use maud::{Markup, html};

use super::super::asked::Asked;
use super::super::chart::{self, Series, Span};
use super::super::format;
use super::super::parts::{self, Mark};
use super::super::text::Text;
use super::super::words::Words;
use crate::fleet::DeviceView;
use crate::history::{self, Aggregate, History, HistoryError, Order, Query, ROWS_MAX, Row, Steps};
use crate::profile::class::Classes;
use crate::time::Timestamp;

/// Fields that are drawn; a device with more is seen whole in a dashboard.
const CHARTS_MAX: usize = 16;
/// Steps that a time is cut into when there are more readings than are read at once.
const STEPS: u32 = 240;

/// How much of the past is shown; the parameter `range`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::web) enum Range {
    Day,
    #[default]
    Week,
    Month,
}

impl Range {
    const ALL: [Range; 3] = [Range::Day, Range::Week, Range::Month];

    pub(in crate::web) fn of(asked: &Asked) -> Range {
        let given = asked.given("range").unwrap_or_default();
        Range::ALL.into_iter().find(|range| range.name() == given).unwrap_or_default()
    }

    const fn name(self) -> &'static str {
        match self {
            Range::Day => "day",
            Range::Week => "week",
            Range::Month => "month",
        }
    }

    const fn word(self, text: &Text) -> &'static str {
        match self {
            Range::Day => text.range_day,
            Range::Week => text.range_week,
            Range::Month => text.range_month,
        }
    }

    const fn length(self) -> Duration {
        let days = match self {
            Range::Day => 1,
            Range::Week => 7,
            Range::Month => 30,
        };
        Duration::from_secs(days * 86_400)
    }
}

/// What a device said over time, as far as it can be drawn.
pub(in crate::web) struct Past {
    range: Range,
    from: Timestamp,
    until: Timestamp,
    /// The line of two readings further apart is broken.
    gap: Duration,
    series: Result<BTreeMap<String, Series>, HistoryError>,
}

/// Reads what is drawn: the readings themselves or, where there are too many, their means in steps.
pub(in crate::web) async fn past(
    history: &Arc<History>,
    device: &DeviceView,
    range: Range,
    classes: &Classes,
) -> Past {
    let until = Timestamp::now();
    let from = Timestamp::from_seconds(until.as_seconds() - range.length().as_secs().cast_signed());
    let step = range.length() / STEPS;
    let gap = (Duration::from_secs_f64(device.report_interval_s.clamp(60.0, 1e9)) * 5 / 2).max(step * 3);
    Past { range, from, until, gap, series: series(history, device, classes, from, until, step).await }
}

async fn series(
    history: &Arc<History>,
    device: &DeviceView,
    classes: &Classes,
    from: Timestamp,
    until: Timestamp,
    step: Duration,
) -> Result<BTreeMap<String, Series>, HistoryError> {
    let until = Timestamp::from_nanos(until.as_nanos().saturating_add(1));
    let newest = history.rows(Query::of_device(&device.class, &device.name, from, until)).await?;
    let mut series = BTreeMap::new();
    newest.rows.iter().rev().for_each(|row| add(&mut series, row, device, classes));
    if newest.next.is_none() {
        return Ok(series);
    }
    let (flags, numbers): (Vec<&Series>, Vec<&Series>) = series.values().partition(|series: &&Series| series.is_flag);
    let mut in_steps = BTreeMap::new();
    for (fields, aggregate) in [(numbers, Aggregate::Mean), (flags, Aggregate::Last)] {
        if fields.is_empty() {
            continue;
        }
        let query = Query {
            fields: fields.iter().map(|series| series.name.clone()).collect(),
            steps: Some(Steps { length: step, aggregate }),
            order: Order::OldestFirst,
            limit: ROWS_MAX,
            ..Query::of_device(&device.class, &device.name, from, until)
        };
        history.rows(query).await?.rows.iter().for_each(|row| add(&mut in_steps, row, device, classes));
    }
    Ok(in_steps)
}

/// Texts are not drawn.
fn add(series: &mut BTreeMap<String, Series>, row: &Row, device: &DeviceView, classes: &Classes) {
    for (field, value) in &row.values {
        let (value, is_flag) = match value {
            history::Value::Float(value) => (*value, false),
            history::Value::Integer(value) => (*value as f64, false),
            history::Value::Bool(value) => (f64::from(u8::from(*value)), true),
            history::Value::Text(_) => continue,
        };
        if !value.is_finite() {
            continue;
        }
        // The last reading need not have the field.
        let canonical = || classes.field(&device.class, field).and_then(|field| field.unit.clone());
        let read = || device.reading.iter().find(|known| known.name == *field).map(|known| known.unit.clone());
        let unit = || read().or_else(canonical);
        let series = series.entry(field.clone()).or_insert_with(|| Series {
            name: field.clone(),
            unit: unit().unwrap_or_default(),
            is_flag,
            points: Vec::new(),
        });
        series.points.push((row.time, value));
    }
}

pub(super) fn over_time(device: &DeviceView, past: &Past, words: Words<'_>, asked: &Asked) -> Markup {
    let text = asked.text;
    let span = Span { from: past.from, until: past.until, gap: past.gap };
    html! {
        section #past class="panel" aria-labelledby="past-title" {
            div class="heading" {
                h2 #past-title { (text.over_time) }
                nav class="tabs" aria-label=(text.range) { @for range in Range::ALL {
                    a href={ (parts::device_path(&device.name)) "?range=" (range.name()) "#past" } aria-current=[(range == past.range).then_some("true")] { (range.word(text)) }
                } }
                p class="muted" { (text.times_utc) }
            }
            @match &past.series {
                Err(error) => p class="empty" { (parts::marked(Mark::Warning, &(text.unreadable)(&error.to_string()))) },
                Ok(series) if series.is_empty() => p class="empty" { (text.no_history) },
                Ok(series) => {
                    @let series = in_order(series, &device.class, words);
                    div class="charts" { @for series in series.iter().take(CHARTS_MAX) {
                        figure {
                            figcaption { (parts::name(&series.name)) " " span class="muted" { (format::unit(&series.unit)) } }
                            @if let Some(chart) = chart::chart(series, span, text) { (chart) }
                        }
                    } }
                    @if series.len() > CHARTS_MAX { p class="muted" { ((text.more)(series.len() - CHARTS_MAX)) } }
                },
            }
        }
    }
}

/// What tells most of a class comes first, as in the vocabulary; where a device stands, the map shows.
fn in_order<'a>(series: &'a BTreeMap<String, Series>, class: &str, words: Words<'_>) -> Vec<&'a Series> {
    let of_class: Vec<&str> =
        words.classes.get(class).into_iter().flat_map(|class| class.in_order()).map(|(name, _)| name).collect();
    let common: Vec<&str> = words.classes.common.in_order().map(|(name, _)| name).collect();
    let place = |name: &str| of_class.iter().chain(&common).position(|known| *known == name).unwrap_or(usize::MAX);
    let is_place = |series: &Series| matches!(series.name.as_str(), "latitude_deg" | "longitude_deg");
    let mut series: Vec<&Series> = series.values().filter(|series| !is_place(series)).collect();
    series.sort_by_key(|series| place(&series.name));
    series
}
