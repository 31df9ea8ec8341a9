//! citywire takes a city's device telemetry from an MQTT broker to a time-series database, with nothing in
//! between lost.
//!
//! The modules are the way of a message, in order:
//!
//! | stage | takes | gives |
//! | --- | --- | --- |
//! | [`broker`] | an MQTT connection | [`broker::Message`] |
//! | [`push`] | an HTTP request of an operator's platform | the same |
//! | [`journal`] | a message | [`journal::Entry`]: sequence number, receive time, topic, bytes, on disk |
//! | [`route`] | a topic | route::Route: which envelope and which profile it carries |
//! | [`envelope`] | an entry and its route | envelope::Uplink: device, time, port, payload bytes |
//! | [`decode`] | a profile and payload bytes | [`decode::Readings`] |
//! | [`point`] | an uplink and a reading | [`point::Point`]: measurement, tags, fields, time |
//! | [`sink`] | points | a receipt, which moves that sink's cursor in the journal |
//!
//! [`pipeline`] calls the stages between journal and sink in one function; [`refused`] keeps what one of them
//! could not use. [`rules`] are what the stages go by, and [`reload`] exchanges them while the service runs;
//! [`replay`] compares what others would make of the same entries. [`service`] builds all parts and joins them. No stage imports a later one.

pub mod alarm;
mod backoff;
pub mod broker;
mod certificates;
pub mod cli;
pub mod config;
pub mod decode;
pub mod envelope;
pub mod fleet;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod grace;
pub mod history;
mod http;
pub mod journal;
pub mod json;
pub mod metrics;
pub mod pipeline;
pub mod point;
pub mod problem;
pub mod profile;
pub mod push;
mod refreshed;
pub mod refused;
pub mod registry;
pub mod reload;
pub mod replay;
pub mod route;
pub mod rules;
pub mod service;
pub mod simulate;
pub mod sink;
pub mod state;
pub mod store;
#[cfg(test)]
mod test_directory;
pub mod time;
pub mod web;
