//! What other systems are told, they are told at least once, in order, whatever happens to them or to citywire: readings
//! and alarms at an MQTT broker, alarms at a webhook. What one will never take is set aside alone, with its words. No
//! alarm waits for readings.

mod support;

#[path = "sinks_out/alarms.rs"]
mod alarms;
#[path = "sinks_out/bus.rs"]
mod bus;
#[path = "sinks_out/configured.rs"]
mod configured;
#[path = "sinks/fake_database.rs"]
#[allow(dead_code, reason = "a database uses more of it")]
mod fake_database;
#[path = "sinks_out/readings.rs"]
mod readings;
