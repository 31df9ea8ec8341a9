//! What devices said over time, read back from where a sink has written it.
//!
//! One way to ask ([`Query`]) and two places that answer: the embedded store, by SQL over a read-only connection of its
//! own ([`crate::store`]), or InfluxDB and its relatives that understand InfluxQL (`influxdb`). Steps are made by the
//! database, not here.
//!
//! Nothing that is asked costs more than [`TIME_MAX`]: a query that takes longer is broken off with an error that says
//! so. At most [`ROWS_MAX`] rows come at a time; [`Rows::next`] tells where to go on.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config;
use crate::sink::embedded::FILE_NAME;
use crate::sink::influxdb2::{OpenError, QueryError};
use crate::store::{Store, StoreError};

mod influxdb;
mod query;
#[cfg(test)]
mod tests;

use influxdb::Influxdb;
pub use query::{Aggregate, Order, Place, Query, Row, Rows, Steps};

pub use crate::store::Value;

/// How long a query may take.
pub const TIME_MAX: Duration = Duration::from_secs(5);

/// Rows that are given at a time at most.
pub const ROWS_MAX: usize = 5_000;

/// Steps that a range may be cut into at most.
pub const STEPS_MAX: u64 = 100_000;

/// Where readings are read back from.
#[derive(Debug)]
pub struct History {
    source: Source,
}

#[derive(Debug)]
enum Source {
    Embedded { file: PathBuf, journal: Option<u32> },
    Influxdb(Box<Influxdb>),
    Nowhere,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error(
        "no sink keeps readings that could be read back; add a [[sink]] of kind \"embedded\" or \"influxdb2\" to the \
         configuration"
    )]
    Nowhere,
    #[error("the query took longer than {} s and was broken off; ask for a shorter range, or for one device", TIME_MAX.as_secs())]
    TooExpensive,
    #[error("the field `{field}` is not a number; of it only count, first and last can be asked")]
    NotNumeric { field: String },
    #[error("the readings cannot be read: {0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Database(String),
    #[error("BUG: the query ended with a panic")]
    Panicked,
}

impl From<QueryError> for HistoryError {
    fn from(error: QueryError) -> HistoryError {
        match error {
            QueryError::TimedOut => HistoryError::TooExpensive,
            QueryError::Failed(detail) => HistoryError::Database(detail),
        }
    }
}

impl History {
    /// Of the first embedded sink that is configured; where there is none, of the first InfluxDB. `journal` is the key of
    /// the journal, by which a store knows the entries of its rows.
    ///
    /// # Errors
    /// When the options of the InfluxDB sink cannot be used; the sink itself says the same.
    pub fn of(sinks: &[config::Sink], data: &std::path::Path, journal: Option<u32>) -> Result<History, OpenError> {
        let embedded = sinks.iter().find_map(|sink| match sink {
            config::Sink::Embedded(sink) => Some(sink.file.clone().unwrap_or_else(|| data.join(FILE_NAME))),
            _ => None,
        });
        let influxdb = || {
            sinks.iter().find_map(|sink| match sink {
                config::Sink::Influxdb2(sink) => Some(sink),
                _ => None,
            })
        };
        let source = match (embedded, influxdb) {
            (Some(file), _) => Source::Embedded { file, journal },
            (None, influxdb) => match influxdb() {
                Some(sink) => Source::Influxdb(Box::new(Influxdb::new(sink)?)),
                None => Source::Nowhere,
            },
        };
        Ok(History { source })
    }

    /// Of a store's file.
    pub fn embedded(file: PathBuf, journal: Option<u32>) -> History {
        History { source: Source::Embedded { file, journal } }
    }

    /// Of nothing: every question is answered with [`HistoryError::Nowhere`].
    pub fn nowhere() -> History {
        History { source: Source::Nowhere }
    }

    /// The readings that `query` asks for, in its order. A store that has not been written yet has none.
    ///
    /// # Errors
    /// When the database does not answer, takes too long, or cannot do what is asked.
    pub async fn rows(self: &Arc<Self>, query: Query) -> Result<Rows, HistoryError> {
        let query = query.bounded();
        if query.from >= query.until {
            return Ok(Rows::default());
        }
        let found = match &self.source {
            Source::Influxdb(influxdb) => influxdb.rows(&query).await?,
            Source::Nowhere => return Err(HistoryError::Nowhere),
            Source::Embedded { .. } => {
                let (history, query) = (Arc::clone(self), query.clone());
                let blocking = tokio::task::spawn_blocking(move || history.of_store(|store| store.rows(&query)));
                blocking.await.map_err(|_| HistoryError::Panicked)??
            }
        };
        Ok(Rows::cut(&query, found))
    }

    /// The journal entries that gave the newest readings of a device, newest first; at most `limit` of them. None where the
    /// database does not know: only the embedded store does. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn entries(&self, device: &str, limit: usize) -> Result<Vec<u64>, HistoryError> {
        match self.source {
            Source::Embedded { journal: Some(journal), .. } => {
                self.of_store(|store| store.entries(device, journal, limit))
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Blocks.
    fn of_store<T: Default>(&self, ask: impl FnOnce(&Store) -> Result<T, HistoryError>) -> Result<T, HistoryError> {
        let Source::Embedded { file, .. } = &self.source else { return Ok(T::default()) };
        match Store::open_for(file, TIME_MAX) {
            Ok(store) => ask(&store),
            Err(StoreError::Missing { .. }) => Ok(T::default()),
            Err(error) => Err(error.into()),
        }
    }
}
