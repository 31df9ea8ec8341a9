//! What the sinks promise: every point is written, or rejected alone with the database's words, or still waiting; a
//! point that comes twice is there once; each device's points arrive in their order.

mod support;

#[path = "sinks/delivery.rs"]
mod delivery;
#[path = "sinks/embedded.rs"]
mod embedded;
#[path = "sinks/fake_database.rs"]
mod fake_database;
#[path = "sinks/fake_journal.rs"]
mod fake_journal;
#[path = "sinks/influxdb2.rs"]
mod influxdb2;
#[path = "sinks/victoria_metrics.rs"]
mod victoria_metrics;
