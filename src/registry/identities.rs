//! The names that one device goes by.

use super::Registry;

/// Who is asked for: a device by one of its identities, and the others that the registry knows it by. What came before the
/// registry knew them is kept under the one that it came by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identities(Vec<String>);

impl Identities {
    /// The identity that was asked for.
    pub fn asked(&self) -> &str {
        self.0.first().map(String::as_str).unwrap_or_default()
    }

    /// All of them, the one that was asked for first.
    pub fn all(&self) -> &[String] {
        &self.0
    }

    pub fn has(&self, identity: &str) -> bool {
        self.0.iter().any(|known| known == identity)
    }
}

/// A device that goes by one name alone, as far as is known.
impl From<&str> for Identities {
    fn from(identity: &str) -> Identities {
        Identities(vec![identity.to_owned()])
    }
}

impl Registry {
    /// Every identity of the device that has this one; this one alone if the registry does not list it.
    pub fn identities(&self, asked: &str) -> Identities {
        let mut identities = Identities::from(asked);
        if let Some(found) = self.find(asked) {
            let known = std::iter::once(found.device()).chain(found.aliases());
            identities.0.extend(known.filter(|known| *known != asked).map(str::to_owned));
        }
        identities
    }
}
