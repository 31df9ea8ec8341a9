//! Readings over time, of one device or of a class.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::super::Context;
use super::devices::{self, NAME};
use super::endpoint::{About, Endpoint, PREFIX, Reply, Table};
use super::parameter::{self, Given, Kind, Parameter};
use super::problem::Problem;
use super::rows::optional;
use crate::fleet::UNKNOWN_CLASS;
use crate::history::{Aggregate, Order, Query, ROWS_MAX, Row, STEPS_MAX, Steps, Value};
use crate::profile::{FieldType, Library};
use crate::time::Timestamp;

/// Fields that may be named at once.
const FIELDS_MAX: usize = 32;
/// A range begins so long before its end unless it says when.
const RANGE_DEFAULT: Duration = Duration::from_secs(86_400);
const LIMIT_DEFAULT: usize = 1_000;
const AGGREGATES: [&str; Aggregate::ALL.len()] = ["mean", "min", "max", "sum", "count", "first", "last"];
const ORDERS: [&str; 2] = ["oldest", "newest"];

/// Readings in a range of time, or what steps of it amount to.
#[derive(Debug, Serialize, JsonSchema)]
struct ReadingList {
    class: String,
    /// The device that was asked for; null for all of the class.
    device: Option<String>,
    /// The range that was looked at: the first moment, and the moment after the last.
    from: Timestamp,
    to: Timestamp,
    /// The length of a step in seconds; null when readings are given as they are.
    step_s: Option<f64>,
    /// What the values of a step are.
    #[schemars(extend("enum" = ["mean", "min", "max", "sum", "count", "first", "last", null]))]
    aggregate: Option<&'static str>,
    readings: Vec<ReadingEntry>,
    /// Where the rest is; null when this is the end.
    next: Option<String>,
    #[serde(skip)]
    fields: Vec<String>,
}

/// What a device said of one moment, or what a step amounts to.
#[derive(Debug, Serialize, JsonSchema)]
struct ReadingEntry {
    /// The reading's own time; of a step, its beginning.
    time: Timestamp,
    /// Null for steps over several devices.
    device: Option<String>,
    /// By field; without those that have no value here.
    values: BTreeMap<String, Value>,
}

impl From<Row> for ReadingEntry {
    fn from(row: Row) -> ReadingEntry {
        ReadingEntry { time: row.time, device: row.device, values: row.values.into_iter().collect() }
    }
}

fn parameters(of_class: bool) -> Vec<Parameter> {
    let mut parameters = match of_class {
        true => vec![Parameter::required("class", NAME, "The class whose readings are wanted.")],
        false => vec![
            devices::parameter(),
            Parameter::query("class", NAME, "The class whose readings are wanted; without it, the device's."),
        ],
    };
    parameters.extend([
        Parameter::repeated(
            "field",
            NAME,
            FIELDS_MAX,
            "The fields that are wanted; without it, all. With `step`, at least one is needed.",
        ),
        Parameter::query("from", Kind::Time, "The first moment; without it, a day before `to`."),
        Parameter::query("to", Kind::Time, "The moment after the last; without it, now."),
        Parameter::query(
            "step",
            Kind::Step,
            "Cuts the range into steps of this length, counted from 1970: `15m`, `1h`. At most 100,000 of them.",
        ),
        Parameter::query(
            "aggregate",
            Kind::Word(&AGGREGATES),
            "What becomes of the values of a step; `mean` by default. Mean, min, max and sum are of numbers.",
        ),
        Parameter::query("order", Kind::Word(&ORDERS), "Which come first; `oldest` by default."),
        Parameter::query("limit", Kind::Number(1, ROWS_MAX as u64), "Rows; 1,000 by default."),
        Parameter::query("cursor", Kind::Cursor, "Where to go on, of a `next` link."),
    ]);
    if of_class {
        parameters.extend(devices::tag_parameters());
    }
    parameters
}

pub(super) fn of_device() -> Endpoint {
    let about = About {
        path: "/devices/{device}/readings",
        id: "deviceReadings",
        summary: "The readings of a device over time",
        description: "From the embedded store; where there is none, from InfluxDB. Steps are made by the database.",
        parameters: parameters(false),
        not_found: Some("the device was never heard, and the registry does not list it."),
    };
    Endpoint::waiting(about, |context: Arc<Context>, given: Given| async move { read_device(&context, &given).await })
}

pub(super) fn of_class() -> Endpoint {
    let about = About {
        path: "/readings",
        id: "classReadings",
        summary: "The readings of a class over time",
        description: "Of all its devices, or of those with the tags that are asked for, which are the tags of their points. \
                      With `step`, a row tells what all of them amount to together. From the embedded store; where there \
                      is none, from InfluxDB.",
        parameters: parameters(true),
        not_found: None,
    };
    Endpoint::waiting(about, |context: Arc<Context>, given: Given| async move { read_class(&context, &given).await })
}

async fn read_device(context: &Context, given: &Given) -> Result<ReadingList, Problem> {
    let asked = given.text("device").unwrap_or_default();
    let (device, class) = {
        let rules = context.rules();
        let registered = rules.registry.find(asked);
        let device = registered.map_or(asked, |registered| registered.device()).to_owned();
        let heard = context.sources.fleet.device(&device);
        if heard.is_none() && registered.is_none() {
            return Err(devices::unknown(asked));
        }
        (device, heard.map_or(UNKNOWN_CLASS.to_owned(), |heard| heard.class))
    };
    let class = given.text("class").map_or(class, str::to_owned);
    let link = format!("{PREFIX}/devices/{}/readings", super::super::query::percent_encoded(asked));
    read(context, given, class, Some(device), (&parameters(false), &link)).await
}

async fn read_class(context: &Context, given: &Given) -> Result<ReadingList, Problem> {
    let class = given.text("class").unwrap_or_default().to_owned();
    read(context, given, class, None, (&parameters(true), &format!("{PREFIX}/readings"))).await
}

async fn read(
    context: &Context,
    given: &Given,
    class: String,
    device: Option<String>,
    (parameters, link): (&[Parameter], &str),
) -> Result<ReadingList, Problem> {
    let query = query(given, class, device)?;
    if let Some(steps) = query.steps {
        check_numbers(&context.rules().library, &query, steps)?;
    }
    let rows = {
        // As for everything that is read from disk: a few at a time.
        let _permit = context.pages.acquire().await.map_err(|_| Problem::internal())?;
        context.sources.history.rows(query.clone()).await?
    };
    // What `to` was when it was not given holds for the rest too: the pieces make one answer.
    let next = rows.next.map(|next| {
        let given = given.with("from", query.from.to_string()).with("to", query.until.to_string());
        given.link(parameters, link, "cursor", &parameter::cursor(next))
    });
    let mut fields = query.fields.clone();
    for name in rows.rows.iter().flat_map(|row| &row.values).map(|(name, _)| name) {
        if !fields.contains(name) {
            fields.push(name.clone());
        }
    }
    Ok(ReadingList {
        class: query.class,
        device: query.device,
        from: query.from,
        to: query.until,
        step_s: query.steps.map(|steps| steps.length.as_secs_f64()),
        aggregate: query.steps.map(|steps| steps.aggregate.name()),
        readings: rows.rows.into_iter().map(ReadingEntry::from).collect(),
        next,
        fields,
    })
}

fn query(given: &Given, class: String, device: Option<String>) -> Result<Query, Problem> {
    let until = given.time("to").unwrap_or_else(Timestamp::now);
    let day_before = || Timestamp::from_nanos(until.as_nanos().saturating_sub(RANGE_DEFAULT.as_nanos() as i64));
    let from = given.time("from").unwrap_or_else(day_before);
    if from >= until {
        return Err(Problem::conflicting("from", format!("`from` is {from}, and `to`, {until}, is not later")));
    }
    let aggregate = given.text("aggregate");
    let aggregate = Aggregate::ALL.into_iter().find(|known| Some(known.name()) == aggregate);
    let steps = given.step("step").map(|length| Steps { length, aggregate: aggregate.unwrap_or_default() });
    let fields: Vec<String> = given.texts("field").map(str::to_owned).collect();
    match steps {
        Some(_) if fields.is_empty() => {
            return Err(Problem::conflicting(
                "field",
                "`step` needs at least one `field` whose values make the steps",
            ));
        }
        None if aggregate.is_some() => {
            return Err(Problem::conflicting("step", "`aggregate` needs a `step`: over what length of time?"));
        }
        _ => {}
    }
    let query = Query {
        class,
        device,
        tags: devices::tags(given),
        fields,
        from,
        until,
        steps,
        order: if given.text("order") == Some("newest") { Order::NewestFirst } else { Order::OldestFirst },
        limit: given.number("limit").map_or(LIMIT_DEFAULT, |limit| limit as usize),
        after: given.cursor("cursor"),
    };
    if query.has_too_many_steps() {
        let words = format!("the range has more than {STEPS_MAX} steps: make them longer, or the range shorter");
        return Err(Problem::conflicting("step", words));
    }
    Ok(query)
}

/// The vocabulary and the profiles know the types of fields. Of fields that they do not know, the database does.
fn check_numbers(library: &Library, query: &Query, steps: Steps) -> Result<(), Problem> {
    let is_text = |name: &str| {
        let canonical = || {
            let class = library.classes.get(&query.class);
            let field = class.and_then(|class| class.fields.get(name));
            field.or_else(|| library.classes.common.fields.get(name)).map(|field| field.kind)
        };
        canonical().is_some_and(|kind| !matches!(kind, FieldType::Float | FieldType::Integer))
    };
    match query.fields.iter().find(|name| steps.aggregate.needs_numbers() && is_text(name)) {
        Some(field) => Err(crate::history::HistoryError::NotNumeric { field: field.clone() }.into()),
        None => Ok(()),
    }
}

impl Reply for ReadingList {
    const HAS_TABLE: bool = true;

    fn table(&self) -> Option<Table> {
        let head = ["time", "device"].map(str::to_owned).into_iter().chain(self.fields.iter().cloned()).collect();
        let row = |entry: &ReadingEntry| {
            let cell = |field: &String| entry.values.get(field).map(Value::cell).unwrap_or_default();
            let own = [entry.time.to_string(), optional(entry.device.as_deref())];
            own.into_iter().chain(self.fields.iter().map(cell)).collect()
        };
        Some(Table { head, rows: self.readings.iter().map(row).collect() })
    }

    fn next(&self) -> Option<String> {
        self.next.clone()
    }
}
