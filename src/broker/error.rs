//! What can be wrong with the broker's configuration, and with starting.

use std::net::SocketAddr;
use std::path::PathBuf;

/// A mistake in the `[broker]` section or its files, or a broker that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "broker.url `{url}` {problem}; write it as in \"mqtt://broker.example:1883\" or \"mqtts://broker.example:8883\""
    )]
    Url { url: String, problem: String },
    #[error("broker.client_id is empty; a persistent session needs a name that no other client of the broker has")]
    ClientIdEmpty,
    #[error("broker.{option} {value} is out of range: it must be {range}")]
    OutOfRange { option: &'static str, value: String, range: &'static str },
    #[error("broker.{present} is set without broker.{missing}; set both or neither")]
    Half { present: &'static str, missing: &'static str },
    #[error("{section}.password and {section}.password_file are both set; keep one of them")]
    TwoPasswords { section: &'static str },
    #[error("broker.{option} is set, but broker.url is not mqtts://, so the connection would not use it")]
    WithoutTls { option: &'static str },
    #[error("cannot read broker.{option} {}: {reason}", file.display())]
    File { option: &'static str, file: PathBuf, reason: String },
    #[error("this machine has no certificate authorities that could be read ({0}); set broker.ca_file")]
    NoSystemAuthorities(String),
    #[error("broker.client_certificate_file and broker.client_key_file do not fit together: {0}")]
    ClientCertificate(String),
    #[error("no topic to subscribe to: configure at least one route")]
    NoFilters,
    #[error(
        "`{0}` is no MQTT topic filter: `+` must stand alone in its level, `#` alone in the last; correct the route"
    )]
    Filter(String),
    #[error("the embedded broker cannot listen on {address}: {reason}; set broker.embedded.listen to a free address")]
    Listen { address: SocketAddr, reason: String },
}
