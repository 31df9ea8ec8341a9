//! `/devices/{device}`: one device: how it does, what it said last and over time, its messages byte by byte, its alarms.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use maud::{Markup, html};

use super::asked::Asked;
use super::chart::{self, Series, Span};
use super::page::{Content, Tab};
use super::parts::{self, Mark};
use super::text::Text;
use super::{format, map, refused};
use crate::decode::explain::{Line, sentence};
use crate::decode::machine::Hex;
use crate::fleet::DeviceView;
use crate::history::{self, Aggregate, History, HistoryError, Order, Query, ROWS_MAX, Row, Steps};
use crate::journal::Entry;
use crate::pipeline::Explained;
use crate::profile::Library;
use crate::registry::{Registered, Registry};
use crate::rules::Rules;
use crate::time::Timestamp;

/// Fields that are drawn; a device with more is seen whole in a dashboard.
const CHARTS_MAX: usize = 16;
/// Messages that are shown.
pub(super) const MESSAGES_SHOWN: usize = 10;
/// Bytes of payloads that are explained on one page.
const EXPLAINED_BYTES_MAX: usize = 16 * 1024;
/// Rows of one payload's explanation.
const LINES_SHOWN: usize = 400;
/// Steps that a time is cut into when there are more readings than are read at once.
const STEPS: u32 = 240;

/// How much of the past is shown; the parameter `range`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Range {
    Day,
    #[default]
    Week,
    Month,
}

impl Range {
    const ALL: [Range; 3] = [Range::Day, Range::Week, Range::Month];

    pub(super) fn of(asked: &Asked) -> Range {
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
pub(super) struct Past {
    range: Range,
    from: Timestamp,
    until: Timestamp,
    /// The line of two readings further apart is broken.
    gap: Duration,
    series: Result<BTreeMap<String, Series>, HistoryError>,
}

/// Reads what is drawn: the readings themselves or, where there are too many, their means in steps.
pub(super) async fn past(history: &Arc<History>, device: &DeviceView, range: Range) -> Past {
    let until = Timestamp::now();
    let from = Timestamp::from_seconds(until.as_seconds() - range.length().as_secs().cast_signed());
    let step = range.length() / STEPS;
    let gap = (Duration::from_secs_f64(device.report_interval_s.clamp(60.0, 1e9)) * 5 / 2).max(step * 3);
    Past { range, from, until, gap, series: series(history, device, from, until, step).await }
}

async fn series(
    history: &Arc<History>,
    device: &DeviceView,
    from: Timestamp,
    until: Timestamp,
    step: Duration,
) -> Result<BTreeMap<String, Series>, HistoryError> {
    let until = Timestamp::from_nanos(until.as_nanos().saturating_add(1));
    let newest = history.rows(Query::of_device(&device.class, &device.name, from, until)).await?;
    let mut series = BTreeMap::new();
    newest.rows.iter().rev().for_each(|row| add(&mut series, row, device));
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
        history.rows(query).await?.rows.iter().for_each(|row| add(&mut in_steps, row, device));
    }
    Ok(in_steps)
}

/// Texts are not drawn.
fn add(series: &mut BTreeMap<String, Series>, row: &Row, device: &DeviceView) {
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
        let unit = || device.reading.iter().find(|known| known.name == *field).map(|known| known.unit.clone());
        let series = series.entry(field.clone()).or_insert_with(|| Series {
            name: field.clone(),
            unit: unit().unwrap_or_default(),
            is_flag,
            points: Vec::new(),
        });
        series.points.push((row.time, value));
    }
}

/// A message of the device, and what is in it by the rules of now.
pub(super) struct Message {
    entry: Entry,
    uplinks: Vec<Explained>,
}

/// The messages of the device's newest readings, as far as the store knows them and the journal keeps them. Blocks.
pub(super) fn messages(
    device: &str,
    sequences: Vec<u64>,
    rules: &Rules,
    entry: impl Fn(u64) -> Result<Option<Entry>, String>,
) -> Vec<Message> {
    let mut sequences = sequences;
    sequences.sort_unstable_by_key(|sequence| std::cmp::Reverse(*sequence));
    sequences.dedup();
    let mut bytes = EXPLAINED_BYTES_MAX;
    let found = sequences.into_iter().take(MESSAGES_SHOWN).filter_map(|sequence| entry(sequence).ok().flatten());
    let explained = found.map(|entry| {
        let mut uplinks = Explained::of(rules, &entry, &mut bytes);
        uplinks.retain(|uplink| uplink.device.as_deref().is_none_or(|of| of == device));
        Message { entry, uplinks }
    });
    explained.collect()
}

/// A device that was heard.
pub(super) fn content(
    device: &DeviceView,
    past: Option<&Past>,
    messages: Option<&[Message]>,
    rules: &Rules,
    now: Timestamp,
    asked: &Asked,
) -> Content {
    let text = asked.text;
    let body = html! {
        div class="columns" {
            (about(device, &rules.registry, now, text))
            div class="column" {
                (alarms(device, now, text))
                (last_reading(device, &rules.library, now, text))
            }
        }
        @if let Some(past) = past { (over_time(device, past, asked)) }
        @if let Some(messages) = messages { (last_messages(messages, now, text)) }
    };
    Content { tab: Tab::Devices, heading: Some(device.name.clone()), found: true, body }
}

/// A device that was never heard: what the registry says of it, if it does.
pub(super) fn unheard(device: &str, registry: &Registry, text: &Text) -> Content {
    let registered = registry.find(device);
    let body = html! {
        section #about class="panel" aria-label=(text.about) {
            p { (text.no_such_device) }
            @match registered {
                Some(registered) => dl class="facts" { (registered_facts(registered, text)) },
                None => p { (parts::name(&(text.no_such_device_advice)(device))) },
            }
            p { a href=(Tab::Devices.path()) { (text.to_devices) } }
        }
    };
    Content { tab: Tab::Devices, heading: Some(device.to_owned()), found: registered.is_some(), body }
}

fn about(device: &DeviceView, registry: &Registry, now: Timestamp, text: &Text) -> Markup {
    let moment = |time: Timestamp| {
        html! { time datetime=(time) { (format::moment(time)) } span class="under" { ((text.ago)(&format::age(time, now))) } }
    };
    html! {
        section #about class="panel" data-live aria-labelledby="about-title" {
            h2 #about-title { (text.about) }
            dl class="facts" {
                div { dt { (text.state) } dd { (parts::states(device, text)) } }
                div { dt { (text.class) } dd { (parts::name(&device.class)) } }
                @if let Some(profile) = &device.profile { div { dt { (text.profile) } dd { (parts::profile_link(profile)) } } }
                @if let Some(heard) = device.last_heard { div { dt { (text.last_heard) } dd { (moment(heard)) } } }
                @if let Some(decoded) = device.last_decoded { div { dt { (text.last_decoded) } dd { (moment(decoded)) } } }
                @if let Some(heard) = device.first_heard { div { dt { (text.first_heard) } dd { (moment(heard)) } } }
                div { dt { (text.report_interval) } dd { (format::interval(device.report_interval_s as u64)) } }
                div { dt { (text.messages) } dd { (format::count(device.messages)) } }
                div { dt { (text.readings) } dd { (format::count(device.readings)) } }
                div { dt { (text.refused) } dd {
                    @if device.refused == 0 { "0" } @else {
                        a href=(refused::link(None, None, Some(&device.name))) { (format::count(device.refused)) }
                        @if let Some(refusal) = &device.last_refusal {
                            span class="under" { (parts::name(&refusal.reason)) ", " ((text.ago)(&format::age(refusal.received, now))) }
                        }
                    }
                } }
                @match registry.find(&device.name) {
                    Some(registered) => (registered_facts(registered, text)),
                    None if registry.is_empty() => {},
                    None => div { dt { (text.position) } dd { (text.unregistered) } },
                }
            }
        }
    }
}

fn registered_facts(registered: Registered<'_>, text: &Text) -> Markup {
    let aliases: Vec<&str> = registered.aliases().collect();
    html! {
        @if !aliases.is_empty() { div { dt { (text.aliases) } dd { (parts::name(&aliases.join(", "))) } } }
        @for (name, value) in registered.tags() { div { dt { (parts::name(name)) } dd { (parts::name(value)) } } }
        @if let Some(place) = registered.coordinates() { div { dt { (text.position) } dd { (map::coordinates(place)) } } }
    }
}

fn alarms(device: &DeviceView, now: Timestamp, text: &Text) -> Markup {
    html! {
        section #alarms class="panel" data-live aria-labelledby="alarms-title" {
            h2 #alarms-title { (text.alarms) }
            @if device.alarms.is_empty() {
                p class="empty" { (parts::marked(Mark::Good, text.no_alarms)) }
            } @else {
                table {
                    thead { tr {
                        th scope="col" { (text.severity) }
                        th scope="col" { (text.alarm) }
                        th scope="col" class="number" { (text.since_when) }
                    } }
                    tbody { @for alarm in &device.alarms {
                        tr data-key=(alarm.kind) {
                            td { (parts::severity(alarm.severity, text)) }
                            th scope="row" { (parts::name(&alarm.kind)) }
                            td class="number" { (parts::age(alarm.since, now)) }
                        }
                    } }
                }
            }
        }
    }
}

fn last_reading(device: &DeviceView, library: &Library, now: Timestamp, text: &Text) -> Markup {
    let profile = device.profile.as_deref().and_then(|id| library.get(id));
    let meaning = |name: &str| {
        let own = profile.and_then(|profile| profile.fields.iter().find(|field| field.name == name));
        let own = own.map(|field| field.meaning.as_str()).filter(|meaning| !meaning.is_empty());
        own.or_else(|| library.classes.field(&device.class, name).map(|field| field.meaning.as_str()))
    };
    html! {
        section #reading class="panel" data-live aria-labelledby="reading-title" {
            h2 #reading-title {
                (text.reading)
                @if let Some(time) = device.reading_time { " " span class="count" { ((text.measured)(&format::age(time, now))) } }
            }
            @if device.reading.is_empty() {
                p class="empty" { (text.not_decoded_yet) }
            } @else {
                table class="reading" {
                    thead { tr {
                        th scope="col" { (text.field) }
                        th scope="col" { (text.value) }
                    } }
                    tbody { @for field in &device.reading {
                        tr data-key=(field.name) {
                            th scope="row" {
                                (parts::name(&field.name))
                                @if let Some(meaning) = meaning(&field.name) { span class="under" { (parts::name(meaning)) } }
                            }
                            td {
                                @if let Some(severity) = field.alarm { (parts::sign(Mark::of(severity))) " " }
                                (parts::name(&format::value(&field.value, &field.unit, text)))
                            }
                        }
                    } }
                }
            }
        }
    }
}

fn over_time(device: &DeviceView, past: &Past, asked: &Asked) -> Markup {
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
                    div class="charts" { @for series in series.values().take(CHARTS_MAX) {
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

fn last_messages(messages: &[Message], now: Timestamp, text: &Text) -> Markup {
    html! {
        section #messages class="panel" aria-labelledby="messages-title" {
            h2 #messages-title { (text.last_messages) }
            @if messages.is_empty() {
                p class="empty" { (text.no_messages) }
            } @else {
                ul class="messages" { @for (index, message) in messages.iter().enumerate() {
                    li { (one_message(message, index == 0, now, text)) }
                } }
            }
        }
    }
}

fn one_message(message: &Message, is_open: bool, now: Timestamp, text: &Text) -> Markup {
    let entry = &message.entry;
    html! {
        details open[is_open] {
            summary {
                ((text.entry)(&format::count(entry.sequence))) " · " (format::moment(entry.received)) " · "
                ((text.ago)(&format::age(entry.received, now))) " · " ((text.byte_count)(entry.payload.len()))
            }
            dl {
                div { dt { (text.topic) } dd { code { (parts::name(&String::from_utf8_lossy(&entry.topic))) } } }
                div { dt { (text.payload) } dd { code { (refused::payload(&entry.payload)) } } }
            }
            @for uplink in &message.uplinks { (one_uplink(uplink, text)) }
        }
    }
}

fn one_uplink(uplink: &Explained, text: &Text) -> Markup {
    html! {
        @if let Some(event) = uplink.event { p { (event) } }
        @if let Some(refused) = &uplink.refused {
            p { (parts::marked(Mark::Warning, &format!("{}: {}", refused.stage.name(), refused.reason))) " " (parts::name(&refused.detail)) }
        }
        @if let Some(lines) = &uplink.lines {
            div class="scroll" tabindex="0" role="region" aria-label=(text.bytes) {
                table class="bytes" {
                    thead { tr {
                        th scope="col" class="number" { (text.byte) }
                        th scope="col" { (text.bytes) }
                        th scope="col" { (text.bits) }
                        th scope="col" { (text.what) }
                        th scope="col" { (text.meaning) }
                        th scope="col" class="number" { (text.line) }
                    } }
                    tbody { @for line in lines.iter().take(LINES_SHOWN) { (explanation_row(line)) } }
                }
            }
            @if lines.len() > LINES_SHOWN { p class="muted" { ((text.more)(lines.len() - LINES_SHOWN)) } }
        }
    }
}

fn explanation_row(line: &Line) -> Markup {
    let heading = |words: &str| html! { tr { th scope="rowgroup" colspan="6" { (parts::name(words)) } } };
    match line {
        Line::Heading(of) => heading(&sentence::heading(of)),
        Line::Codec(output) => heading(&sentence::codec(output)),
        Line::Refused(refused) => html! {
            tr class="raised bad" {
                td class="number" { @if let Some(offset) = refused.offset { (offset) } }
                td { code { (Hex(&refused.excerpt)) } }
                td {}
                td { (refused.reason.name()) }
                td { (parts::name(&refused.detail)) }
                td class="number" { @if let Some(line) = refused.line { (line) } }
            }
        },
        Line::Piece(piece) => html! {
            tr {
                td class="number" { (piece.offset) }
                td { code { (Hex(&piece.bytes)) } }
                td { @if let Some(bits) = piece.bits { (sentence::bits(bits)) } }
                td { (parts::name(&sentence::what(piece))) }
                td { (parts::name(&sentence::meaning(piece))) }
                td class="number" { @if let Some(line) = piece.line { (line) } }
            }
        },
    }
}
