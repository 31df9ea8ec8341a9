//! What a start puts in force, told in one line of the log.

use std::path::PathBuf;

use crate::config::Config;
use crate::rules::Rules;

use super::status::SinkPart;

/// What the service goes by, in so few words that they fit into a line.
#[derive(Clone, Debug)]
pub struct InForce {
    pub routes: usize,
    pub profiles: usize,
    /// How many devices are registered, if there is a registry.
    pub devices: String,
    /// Name, kind and target of each; URLs as they may be shown.
    pub sinks: String,
    /// Where platforms push to, and from how many sources.
    pub push: String,
    pub data_directory: PathBuf,
    pub journal_bytes_max: u64,
    pub journal_retention_seconds: u64,
}

impl InForce {
    pub(super) fn of(config: &Config, rules: &Rules, sinks: &[SinkPart]) -> InForce {
        let sinks: Vec<String> =
            sinks.iter().map(|sink| format!("{} ({}: {})", sink.name, sink.kind, sink.target)).collect();
        InForce {
            routes: config.routes.len(),
            profiles: rules.library.ids().count(),
            devices: match config.registry.file {
                Some(_) => format!("{} in the registry", rules.registry.len()),
                None => "no registry: every device is taken".to_owned(),
            },
            sinks: sinks.join(", "),
            push: match config.push.listen {
                Some(listen) => format!("{listen}, {} sources", config.push.sources.len()),
                None => "off".to_owned(),
            },
            data_directory: std::path::absolute(&config.data_directory).unwrap_or(config.data_directory.clone()),
            journal_bytes_max: config.journal.max_bytes.0,
            journal_retention_seconds: config.journal.retention.0.as_secs(),
        }
    }
}
