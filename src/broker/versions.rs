//! Which version of MQTT a broker speaks, found out by trying.

use super::mqtt::{Failure, Version};
use crate::config::Protocol;

/// Which MQTT version the next connection tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Versions {
    /// As configured, or because MQTT 5 has worked.
    Fixed(Version),
    /// MQTT 5 first. Old brokers refuse it in many ways: with a reason, with a packet that is not MQTT 5, or by
    /// closing the connection; `guess` is what to try next.
    Unknown { guess: Version },
}

impl Versions {
    pub fn new(protocol: Protocol) -> Versions {
        match protocol {
            Protocol::Auto => Versions::Unknown { guess: Version::V5 },
            Protocol::V5 => Versions::Fixed(Version::V5),
            Protocol::V311 => Versions::Fixed(Version::V311),
        }
    }

    pub fn next(self) -> Version {
        match self {
            Versions::Fixed(version) | Versions::Unknown { guess: version } => version,
        }
    }

    /// Takes in how a connection ended. `true` means: try the other version at once, this was no fault.
    pub fn learn(&mut self, failure: &Failure, connected: bool) -> bool {
        let Versions::Unknown { guess } = *self else { return false };
        let refused = matches!(failure, Failure::VersionRefused(_));
        *self = match (guess, connected) {
            (Version::V5, true) => Versions::Fixed(Version::V5),
            (Version::V5, false) if refused => Versions::Fixed(Version::V311),
            (Version::V5, false) if unclear(failure) => Versions::Unknown { guess: Version::V311 },
            // 3.1.1 by a guess only: the broker may have learnt MQTT 5 since, or only have been starting up.
            _ => Versions::Unknown { guess: Version::V5 },
        };
        guess == Version::V5 && self.next() == Version::V311
    }
}

/// Whether a connection that ended so before its CONNACK may have ended for its MQTT version.
fn unclear(failure: &Failure) -> bool {
    matches!(failure, Failure::Closed | Failure::Unreadable(_) | Failure::Protocol(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_refuses_mqtt_5_is_asked_for_3_1_1_at_once_and_from_then_on() {
        let mut versions = Versions::new(Protocol::Auto);
        assert_eq!(versions.next(), Version::V5);
        assert!(versions.learn(&Failure::VersionRefused("5"), false));
        assert_eq!(versions, Versions::Fixed(Version::V311));
    }

    #[test]
    fn a_broker_that_just_closes_is_asked_for_3_1_1_and_then_for_5_again() {
        let mut versions = Versions::new(Protocol::Auto);
        assert!(versions.learn(&Failure::Closed, false));
        assert_eq!(versions.next(), Version::V311);
        assert!(!versions.learn(&Failure::Closed, false));
        assert_eq!(versions.next(), Version::V5);
    }

    #[test]
    fn a_broker_that_once_took_mqtt_5_is_never_asked_for_less() {
        let mut versions = Versions::new(Protocol::Auto);
        assert!(!versions.learn(&Failure::Closed, true));
        assert!(!versions.learn(&Failure::Closed, false));
        assert_eq!(versions, Versions::Fixed(Version::V5));
    }

    #[test]
    fn a_broker_that_is_not_there_says_nothing_about_its_version() {
        let mut versions = Versions::new(Protocol::Auto);
        assert!(!versions.learn(&Failure::Network("no route".into()), false));
        assert_eq!(versions.next(), Version::V5);
    }
}
