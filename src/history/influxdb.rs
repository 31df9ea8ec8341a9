//! The history in InfluxDB: questions as InfluxQL, answers from its JSON.
//!
//! Reference: <https://docs.influxdata.com/influxdb/v1/query_language/spec/>. Every name and value of a question is
//! quoted, after the changes that the line protocol made when it was written ([`crate::point::line_protocol`]).

use serde::Deserialize;
use serde_json::Value as Json;

use super::{Aggregate, HistoryError, Order, Query, Row};
use crate::config::Influxdb2Sink;
use crate::point::line_protocol::as_written;
use crate::sink::influxdb2::{OpenError, Queries};
use crate::store::Value;
use crate::time::Timestamp;

#[derive(Debug)]
pub(super) struct Influxdb {
    queries: Queries,
}

impl Influxdb {
    pub fn new(sink: &Influxdb2Sink) -> Result<Influxdb, OpenError> {
        Ok(Influxdb { queries: Queries::new(sink)? })
    }

    /// The rows that `query` asks for, and one more when there are more.
    pub async fn rows(&self, query: &Query) -> Result<Vec<Row>, HistoryError> {
        let answer = self.queries.ask(&influxql(query)).await?;
        read(&answer, query).map_err(|fault| match fault {
            Fault::Foreign => HistoryError::Database(format!(
                "{} does not answer InfluxQL, the query language of InfluxDB, although it takes what is written to it; \
                 ask it in its own language, or add a sink of kind \"embedded\", which keeps readings to be read back",
                self.queries.url()
            )),
            Fault::Told(words) => not_numeric(&words, query)
                .unwrap_or_else(|| HistoryError::Database(format!("{} answers: {words}", self.queries.url()))),
        })
    }
}

/// `unsupported mean iterator type: *query.booleanInterruptIterator`; of several fields it does not tell which.
fn not_numeric(words: &str, query: &Query) -> Option<HistoryError> {
    let field =
        query.fields.first().filter(|_| words.starts_with("unsupported") && words.contains("iterator type"))?;
    Some(HistoryError::NotNumeric { field: field.clone() })
}

fn influxql(query: &Query) -> String {
    let fields: Vec<String> = query.fields.iter().map(|name| identifier(name)).collect();
    let selected = match query.steps {
        Some(steps) => {
            let aggregate = steps.aggregate.name();
            fields.iter().map(|field| format!("{aggregate}({field}) AS {field}")).collect::<Vec<_>>().join(", ")
        }
        None if fields.is_empty() => "*::field, \"device\"::tag".to_owned(),
        None => format!("{}, \"device\"::tag", fields.join(", ")),
    };
    // Its own range ends a little before that of 64 bits.
    let time = |time: Timestamp| time.as_nanos().clamp(i64::MIN + 16, i64::MAX - 16);
    let mut text = format!(
        "SELECT {selected} FROM {} WHERE time >= {} AND time < {}",
        identifier(&query.class),
        time(query.from),
        time(query.until)
    );
    let device = query.device.iter().map(|device| ("device", device.as_str()));
    let tags = query.tags.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in device.chain(tags) {
        text.push_str(&format!(" AND {}::tag = {}", identifier(name), string(value)));
    }
    if let Some(steps) = query.steps {
        text.push_str(&format!(" GROUP BY time({}ns) fill(none)", steps.nanos()));
    }
    let direction = match query.order {
        Order::OldestFirst => "ASC",
        Order::NewestFirst => "DESC",
    };
    text.push_str(&format!(" ORDER BY time {direction} LIMIT {}", query.limit + 1));
    if query.rows_before() > 0 {
        text.push_str(&format!(" OFFSET {}", query.rows_before()));
    }
    text
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", as_written(name).replace('"', "\\\""))
}

fn string(value: &str) -> String {
    format!("'{}'", as_written(value).replace('\'', "\\'"))
}

enum Fault {
    /// No answer to what was asked.
    Foreign,
    /// An error, in the database's words.
    Told(String),
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    results: Vec<Outcome>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Outcome {
    #[serde(default)]
    series: Vec<Series>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Series {
    columns: Vec<String>,
    #[serde(default)]
    values: Vec<Vec<Json>>,
}

fn read(answer: &[u8], query: &Query) -> Result<Vec<Row>, Fault> {
    let answer: Answer = serde_json::from_slice(answer).map_err(|_| Fault::Foreign)?;
    let [outcome] = <[Outcome; 1]>::try_from(answer.results).map_err(|_| match &answer.error {
        Some(words) => Fault::Told(words.clone()),
        None => Fault::Foreign,
    })?;
    if let Some(words) = outcome.error.or(answer.error) {
        return Err(Fault::Told(words));
    }
    let mut rows = Vec::new();
    for series in outcome.series {
        if series.columns.first().is_none_or(|column| column != "time") {
            return Err(Fault::Foreign);
        }
        for values in series.values {
            rows.push(row(&series.columns, values, query).ok_or(Fault::Foreign)?);
        }
    }
    Ok(rows)
}

fn row(columns: &[String], values: Vec<Json>, query: &Query) -> Option<Row> {
    let mut values = values.into_iter();
    let time = Timestamp::from_nanos(values.next()?.as_i64()?);
    let mut row = Row { time, device: query.device.clone(), values: Vec::new() };
    for (position, (column, value)) in columns.iter().skip(1).zip(values).enumerate() {
        let is_device = query.steps.is_none() && position + 2 == columns.len();
        match value {
            Json::String(device) if is_device => row.device = row.device.or(Some(device)),
            value => {
                // The database tells names as it has them; the question's own are the right ones.
                let name = query.fields.get(position).unwrap_or(column);
                row.values.extend(known(value, query).map(|value| (name.clone(), value)));
            }
        }
    }
    Some(row)
}

fn known(value: Json, query: &Query) -> Option<Value> {
    let is_float = |aggregate| matches!(aggregate, Aggregate::Mean | Aggregate::Sum);
    match value {
        Json::Bool(truth) => Some(Value::Bool(truth)),
        Json::String(text) => Some(Value::Text(text)),
        Json::Number(number) => match number.as_i64() {
            Some(integer) if !query.steps.is_some_and(|steps| is_float(steps.aggregate)) => {
                Some(Value::Integer(integer))
            }
            _ => number.as_f64().map(Value::Float),
        },
        _ => None,
    }
}
