//! What health checks and the operator page say of the connection.

use std::sync::{Mutex, PoisonError};

use super::mqtt::Version;
use crate::time::Timestamp;

/// The connection's state, shared between its task and whoever shows it.
#[derive(Debug)]
pub struct Status(Mutex<StatusNow>);

/// The connection's state at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusNow {
    /// Where the broker is, without user name and password.
    pub url: String,
    pub connected: bool,
    /// Whether this connection receives: the broker has granted every topic filter, or devices connect to us.
    pub subscribed: bool,
    /// Since when it is connected, or is not.
    pub since: Timestamp,
    /// The MQTT version of the present or last connection: `5`, `3.1.1`.
    pub protocol: Option<&'static str>,
    /// The last failure, as a sentence that says what to do, and when it was. Kept after it is mended.
    pub last_error: Option<(Timestamp, String)>,
    /// Topic filters that the broker refuses to subscribe us to, each with the reason.
    pub refused_filters: Vec<(String, &'static str)>,
}

impl Status {
    pub(crate) fn new(url: String) -> Status {
        Status(Mutex::new(StatusNow {
            url,
            connected: false,
            subscribed: false,
            since: Timestamp::now(),
            protocol: None,
            last_error: None,
            refused_filters: Vec::new(),
        }))
    }

    pub fn now(&self) -> StatusNow {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether messages can come in at present.
    pub fn is_connected(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).connected
    }

    pub(crate) fn connected(&self, version: Option<Version>) {
        self.change(|now| {
            now.connected = true;
            now.since = Timestamp::now();
            now.protocol = version.map(Version::name);
        });
    }

    pub(crate) fn disconnected(&self) {
        self.change(|now| {
            if now.connected {
                now.connected = false;
                now.subscribed = false;
                now.since = Timestamp::now();
            }
        });
    }

    pub(crate) fn failed(&self, sentence: String) {
        self.change(|now| now.last_error = Some((Timestamp::now(), sentence)));
    }

    /// Every topic filter has been answered; these were refused.
    pub(crate) fn subscribed(&self, refused: Vec<(String, &'static str)>) {
        self.change(|now| {
            if !refused.is_empty() {
                let filters: Vec<String> =
                    refused.iter().map(|(filter, why)| format!("`{filter}` ({why})")).collect();
                let sentence = format!(
                    "the broker refused to subscribe us to {}; allow it in the broker's access list, or correct the \
                     route's topic",
                    filters.join(", ")
                );
                now.last_error = Some((Timestamp::now(), sentence));
            }
            now.subscribed = refused.is_empty();
            now.refused_filters = refused;
        });
    }

    fn change(&self, change: impl FnOnce(&mut StatusNow)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
