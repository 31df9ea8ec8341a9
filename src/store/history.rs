//! What the history asks of the store: readings of a device or a class in a range of time, as they are or by steps.
//!
//! All values of a question are bound; the names of classes and columns are those that the store has, quoted.

use std::time::{Duration, Instant};

use rusqlite::types::{Value as Bound, ValueRef};
use rusqlite::{ErrorCode, OptionalExtension, params_from_iter};

use super::class::Kind;
use super::reader::{Layout, Order, Store, Value, value};
use super::{StoreError, origin, schema};
use crate::history::{Aggregate, HistoryError, Query, Row, Steps};
use crate::time::Timestamp;

/// Instructions of SQLite's machine between two looks at the clock: some ten microseconds.
const INSTRUCTIONS_UNWATCHED: i32 = 10_000;

/// By device first: the range of time is then looked up for each, rather than every reading of the class looked at.
const FROM: &str = "_devices d CROSS JOIN";

impl Store {
    /// Opens the store for questions that may take `time_max` together: what takes longer is broken off.
    ///
    /// # Errors
    /// When there is no such file, or it is none that can be read.
    pub(crate) fn open_for(path: &std::path::Path, time_max: Duration) -> Result<Store, StoreError> {
        let mut store = Store::open(path)?;
        let end = Instant::now() + time_max;
        let watched = store.connection.progress_handler(INSTRUCTIONS_UNWATCHED, Some(move || Instant::now() >= end));
        store.in_file(watched)?;
        Ok(store)
    }

    /// The rows that `query` asks for, and one more when there are more.
    pub(crate) fn rows(&self, query: &Query) -> Result<Vec<Row>, HistoryError> {
        let Some(layout) = self.layouts()?.into_iter().find(|layout| layout.class == query.class) else {
            return Ok(Vec::new());
        };
        let Some(selected) = self.asked(self.selected(query))? else { return Ok(Vec::new()) };
        match query.steps {
            None => self.asked(self.readings_as_they_are(query, &layout, &selected)),
            Some(steps) => self.steps(query, steps, &layout, &selected),
        }
    }

    /// The journal entries that gave the newest readings of a device in any class, newest first.
    pub(crate) fn entries(&self, device: &str, journal: u32, limit: usize) -> Result<Vec<u64>, HistoryError> {
        let layouts = self.layouts()?;
        self.asked(self.entries_of(&layouts, device, journal, limit))
    }

    fn asked<T>(&self, result: rusqlite::Result<T>) -> Result<T, HistoryError> {
        result.map_err(|source| match source.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => HistoryError::TooExpensive,
            _ => StoreError::of(&self.path, source).into(),
        })
    }

    /// `None` when the device has no readings.
    fn selected(&self, query: &Query) -> rusqlite::Result<Option<Selected>> {
        let mut selected = Selected { condition: "r.time >= ? AND r.time < ?".to_owned(), values: Vec::new() };
        selected.values.extend([query.from, query.until].map(|time| Bound::Integer(time.as_nanos())));
        if let Some(device) = &query.device {
            let Some(id) = self.device_id(device)? else { return Ok(None) };
            selected.add(" AND r.device = ?", [Bound::Integer(id)]);
        }
        for (name, value) in &query.tags {
            selected.add(
                " AND r.tags IN (SELECT t.id FROM _tags t, json_each(t.tags) e WHERE e.key = ? AND e.value = ?)",
                [Bound::Text(name.clone()), Bound::Text(value.clone())],
            );
        }
        Ok(Some(selected))
    }

    fn device_id(&self, device: &str) -> rusqlite::Result<Option<i64>> {
        let mut statement = self.connection.prepare_cached("SELECT id FROM _devices WHERE name = ?1")?;
        statement.query_row([device], |row| row.get(0)).optional()
    }

    fn readings_as_they_are(
        &self,
        query: &Query,
        layout: &Layout,
        selected: &Selected,
    ) -> rusqlite::Result<Vec<Row>> {
        let fields = fields(query, layout);
        let columns: Vec<String> =
            fields.iter().map(|(.., column)| format!("r.{}", schema::quoted(column))).collect();
        let has_one = match (query.fields.is_empty(), columns.is_empty()) {
            (true, _) => String::new(),
            (false, true) => return Ok(Vec::new()),
            (false, false) => format!(" AND coalesce({}, NULL) IS NOT NULL", columns.join(", ")),
        };
        let columns: String = columns.iter().map(|column| format!(", {column}")).collect();
        let sql = format!(
            "SELECT r.time, d.name{columns} FROM {FROM} {} r ON r.device = d.id WHERE {}{has_one} \
             ORDER BY r.time {direction}, r.device LIMIT {} OFFSET {}",
            schema::table(&layout.class),
            selected.condition,
            query.limit + 1,
            query.rows_before(),
            direction = direction(query.order),
        );
        self.connection
            .prepare(&sql)?
            .query_map(params_from_iter(&selected.values), |row| {
                let mut values: Vec<(String, Value)> = Vec::new();
                for (index, (name, kind, _)) in fields.iter().enumerate() {
                    if let Some(value) = value(row.get_ref(index + 2)?, *kind) {
                        values.push(((*name).to_owned(), value));
                    }
                }
                Ok(Row { time: Timestamp::from_nanos(row.get(0)?), device: row.get(1)?, values })
            })?
            .collect()
    }

    fn steps(
        &self,
        query: &Query,
        steps: Steps,
        layout: &Layout,
        selected: &Selected,
    ) -> Result<Vec<Row>, HistoryError> {
        let fields = fields(query, layout);
        if steps.aggregate.needs_numbers() {
            let is_number = |name: &str| {
                let mut of_name = fields.iter().filter(|(field, ..)| *field == name);
                of_name.any(|(_, kind, _)| matches!(kind, Kind::Real | Kind::Integer))
            };
            if let Some((name, ..)) = fields.iter().find(|(name, ..)| !is_number(name)) {
                return Err(HistoryError::NotNumeric { field: (*name).to_owned() });
            }
        }
        let mut rows: Vec<Row> = Vec::new();
        let mut names: Vec<&str> = fields.iter().map(|(name, ..)| *name).collect();
        names.dedup();
        for name in names {
            let columns: Vec<&(&str, Kind, &str)> = fields.iter().filter(|(field, ..)| *field == name).collect();
            let values = self.asked(self.steps_of(query, steps, &columns, selected))?;
            merge(&mut rows, query, name, values);
        }
        rows.truncate(query.limit + 1);
        Ok(rows)
    }

    /// The steps of one field that have a value.
    fn steps_of(
        &self,
        query: &Query,
        steps: Steps,
        columns: &[&(&str, Kind, &str)],
        selected: &Selected,
    ) -> rusqlite::Result<Vec<(Timestamp, Value)>> {
        let numbers_only = steps.aggregate.needs_numbers();
        let used = columns.iter().filter(|(_, kind, _)| !numbers_only || matches!(kind, Kind::Real | Kind::Integer));
        let used: Vec<&&(&str, Kind, &str)> = used.collect();
        let quoted: Vec<String> = used.iter().map(|(.., column)| format!("r.{}", schema::quoted(column))).collect();
        let field = match quoted.as_slice() {
            [one] => one.clone(),
            several => format!("coalesce({})", several.join(", ")),
        };
        let aggregate = match steps.aggregate {
            Aggregate::Mean => format!("avg({field})"),
            // Of integers a sum may not fit one, which SQLite calls an error.
            Aggregate::Sum => format!("sum({field} + 0.0)"),
            Aggregate::Min => format!("min({field})"),
            Aggregate::Max => format!("max({field})"),
            Aggregate::Count => format!("count({field})"),
            // SQLite takes a bare column from the row that has the least or the greatest:
            // https://www.sqlite.org/lang_select.html#bareagg
            Aggregate::First => format!("{field}, min(r.time)"),
            Aggregate::Last => format!("{field}, max(r.time)"),
        };
        let length = steps.nanos();
        let sql = format!(
            "SELECT r.time - ((r.time % {length}) + {length}) % {length} AS step, {aggregate} \
             FROM {FROM} {} r ON r.device = d.id WHERE {} AND {field} IS NOT NULL GROUP BY step ORDER BY step {} LIMIT {}",
            schema::table(&query.class),
            selected.condition,
            direction(query.order),
            query.limit + 1,
        );
        let kinds: Vec<Kind> = used.iter().map(|(_, kind, _)| *kind).collect();
        let mut statement = self.connection.prepare(&sql)?;
        let mut rows = statement.query(params_from_iter(&selected.values))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            if let Some(value) = aggregated(row.get_ref(1)?, steps.aggregate, &kinds) {
                found.push((Timestamp::from_nanos(row.get(0)?), value));
            }
        }
        Ok(found)
    }

    fn entries_of(&self, layouts: &[Layout], device: &str, journal: u32, limit: usize) -> rusqlite::Result<Vec<u64>> {
        let (Some(device), Some(journal)) = (self.device_id(device)?, origin::find(&self.connection, journal)?)
        else {
            return Ok(Vec::new());
        };
        let mut sequences = Vec::new();
        for layout in layouts {
            let sql = format!(
                "SELECT {} FROM {} WHERE device = ?1 ORDER BY time DESC LIMIT {limit}",
                schema::ENTRY,
                schema::table(&layout.class)
            );
            let mut statement = self.connection.prepare(&sql)?;
            let entries = statement.query_map([device], |row| row.get::<_, Option<i64>>(0))?;
            for entry in entries {
                sequences.extend(entry?.and_then(|entry| journal.sequence(entry)));
            }
        }
        sequences.sort_unstable_by_key(|sequence| std::cmp::Reverse(*sequence));
        sequences.dedup();
        sequences.truncate(limit);
        Ok(sequences)
    }
}

/// A condition, and the values for its places.
struct Selected {
    condition: String,
    values: Vec<Bound>,
}

impl Selected {
    fn add(&mut self, condition: &str, values: impl IntoIterator<Item = Bound>) {
        self.condition.push_str(condition);
        self.values.extend(values);
    }
}

/// The columns that are asked for, in the order of the question, those of one field together.
fn fields<'l>(query: &Query, layout: &'l Layout) -> Vec<(&'l str, Kind, &'l str)> {
    let all = || layout.fields.iter().map(|(name, kind, column)| (name.as_str(), *kind, column.as_str()));
    if query.fields.is_empty() {
        return all().collect();
    }
    let mut asked: Vec<&String> = Vec::new();
    query.fields.iter().for_each(|name| {
        if !asked.contains(&name) {
            asked.push(name)
        }
    });
    asked.into_iter().flat_map(|name| all().filter(move |(field, ..)| field == name)).collect()
}

fn direction(order: Order) -> &'static str {
    match order {
        Order::OldestFirst => "ASC",
        Order::NewestFirst => "DESC",
    }
}

/// Puts the steps of one field beside those of others.
fn merge(rows: &mut Vec<Row>, query: &Query, name: &str, values: Vec<(Timestamp, Value)>) {
    let place = |time: Timestamp| match query.order {
        Order::OldestFirst => time.as_nanos(),
        Order::NewestFirst => time.as_nanos().saturating_neg(),
    };
    for (time, value) in values {
        let at = match rows.binary_search_by_key(&place(time), |row| place(row.time)) {
            Ok(at) => at,
            Err(at) => {
                rows.insert(at, Row { time, device: query.device.clone(), values: Vec::new() });
                at
            }
        };
        rows[at].values.push((name.to_owned(), value));
    }
}

/// A step's value by the kind that its column has, or one of its columns.
fn aggregated(found: ValueRef<'_>, aggregate: Aggregate, kinds: &[Kind]) -> Option<Value> {
    match aggregate {
        Aggregate::Count => value(found, Kind::Integer),
        Aggregate::Mean | Aggregate::Sum => value(found, Kind::Real),
        _ => kinds.iter().find_map(|kind| value(found, *kind)),
    }
}
