//! The embedded store: readings in one SQLite file, one table a class, for a pilot without a database server.
//!
//! [`Writer`] belongs to the sink `embedded`; [`Store`] reads, for the page and `citywire export`, in this or another
//! process. The `sqlite3` shell may read at any time, also while citywire writes:
//!
//! ```text
//! $ sqlite3 -readonly data/readings.sqlite 'SELECT * FROM water_meter ORDER BY time DESC LIMIT 10'
//! ```
//!
//! A query for one device reads only its rows; one over a whole class looks at each, about half a second per million.
//!
//! # Layout (`user_version` 2)
//!
//! For each class there is a view by its name, for people, and a table with an underscore before it, for the writer:
//!
//! - `water_meter` (view): `time` as RFC 3339 text in UTC with milliseconds, `device`, `profile`, the other tags, and
//!   the fields.
//! - `_water_meter` (table): `device` (an id in `_devices`), `time` (nanoseconds since the Unix epoch), `tags` (an id
//!   in `_tags`), `_entry` (the journal entry that wrote the row last), and a column for each field. `PRIMARY KEY
//!   (device, time)` and `WITHOUT ROWID`: a device's readings lie together in the order of time.
//! - `_devices` (`id`, `name`) and `_tags` (`id`, `tags`: a JSON object of all tags but `device`) keep what would
//!   repeat in each row once.
//! - `_columns` (`class`, `name`, `kind`, `column`) tells which column holds which field, and (with `kind` "tag" and
//!   no column) which tags a class has.
//! - `_shared` (`class`, `device`, `time`, `entry`) names all entries of a row that several have written, by a trigger on
//!   the rare update that changes `_entry`. `_journals` numbers the journals that entries are of (`origin`).
//!
//! Layout 1 had no entries. A file of it is taken over as it is, in no time; what it holds stays of unknown origin.
//!
//! A column is made when its first value comes, typed by the value: REAL, INTEGER, BOOLEAN (0 or 1) or TEXT. Its type
//! stays. A field that comes with another type, which canonical fields never do, gets a second column with the type
//! in its name (`level_text`), as does a field named as a column that is there already (SQLite ignores case).
//!
//! # What holds
//!
//! - A batch is one transaction in WAL mode with `synchronous = FULL`: when it has returned, it survives a loss of
//!   power.
//! - A reading is known by class, device and time. The same one again takes the place of its former values; a field
//!   that it does not carry keeps what it had, as in InfluxDB.
//! - Rows older than the retention are deleted in small steps between the writes. Their space is used again; the file
//!   does not shrink.

mod batch;
mod catalog;
mod class;
mod error;
mod history;
mod origin;
mod reader;
mod retention;
mod rewriter;
mod schema;
mod writer;

pub use error::StoreError;
pub use reader::{Order, Query, Reading, Store, Table, Value};
pub use rewriter::{Rewriter, Rewritten, Settled, Wanted};
pub use writer::Writer;
