//! The sink for a pilot without a database server: the embedded store ([`crate::store`]).

use std::path::{Path, PathBuf};

use super::{Pending, Receipt, Rejected, Sink, WriteError};
use crate::config::EmbeddedSink;
use crate::point::{Point, line_protocol};
use crate::store::{StoreError, Writer};
use crate::time::Timestamp;

/// The embedded store, and the batch that goes there next.
pub struct Embedded {
    name: String,
    writer: Writer,
    /// The points of the batch that can never be stored.
    rejected: Vec<Rejected>,
}

impl Embedded {
    /// Opens the file `options.file`, or `readings.sqlite` in the data directory. Creates what is missing. `journal` is
    /// the key of the journal whose entries come.
    pub fn open(options: &EmbeddedSink, data_directory: &Path, journal: u32) -> Result<Embedded, StoreError> {
        Ok(Embedded {
            name: options.name.clone(),
            writer: Writer::open(&file(options, data_directory), options.retention.0, journal)?,
            rejected: Vec::new(),
        })
    }
}

/// Where the store is.
pub fn file(options: &EmbeddedSink, data_directory: &Path) -> PathBuf {
    options.file.clone().unwrap_or_else(|| data_directory.join(FILE_NAME))
}

/// The store's name in the data directory.
pub const FILE_NAME: &str = "readings.sqlite";

impl Sink for Embedded {
    fn name(&self) -> &str {
        &self.name
    }

    fn push(&mut self, sequence: u64, point: &Point<'_>) {
        if let Err(message) = self.writer.push(sequence, point) {
            self.rejected.push(Rejected { sequence, point: line_protocol::shown(point), message });
        }
    }

    fn pending(&self) -> Pending {
        Pending { points: self.writer.pending_points(), bytes: self.writer.pending_bytes() }
    }

    async fn flush(&mut self) -> Result<Receipt, WriteError> {
        let written_points = self.writer.flush().map_err(WriteError::storage)?;
        Ok(Receipt { written_points, rejected: std::mem::take(&mut self.rejected) })
    }

    fn maintain(&mut self) -> Result<(), WriteError> {
        self.writer.expire(Timestamp::now()).map_err(WriteError::storage)
    }
}

impl WriteError {
    fn storage(error: StoreError) -> WriteError {
        WriteError { reason: "storage", detail: error.to_string(), retry_after: None }
    }
}
