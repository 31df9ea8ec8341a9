//! Who may connect: everybody, or who knows the one user name and password.

use std::future::{Future, ready};
use std::net::SocketAddr;
use std::pin::Pin;

use mqtt5::broker::{AuthProvider, AuthResult};
use mqtt5::packet::connect::ConnectPacket;
use mqtt5::protocol::v5::reason_codes::ReasonCode;

use crate::config::Secret;

/// Checks user name and password of each CONNECT. Who is in may subscribe to any topic, and publish to any that does not
/// begin with `$`: those are the broker's own (MQTT 5.0, 4.7.2), and `$push/…` is what platforms push over HTTP. A will
/// is a PUBLISH as well. MQTT 5 devices are told with a reason code; 3.1.1 knows none.
pub(super) struct Login(Option<(String, Secret)>);

impl Login {
    pub fn new(credentials: Option<(String, Secret)>) -> Login {
        Login(credentials)
    }

    fn allows(&self, username: Option<&str>, password: Option<&[u8]>) -> bool {
        let Some((expected_username, expected_password)) = &self.0 else { return true };
        // Both are compared, whatever the first gives, so that the time tells nothing.
        let username = equal(username.unwrap_or_default().as_bytes(), expected_username.as_bytes());
        let password = equal(password.unwrap_or_default(), expected_password.reveal().as_bytes());
        username & password
    }
}

/// Compares in a time that depends on the length of `given` only.
fn equal(given: &[u8], expected: &[u8]) -> bool {
    let mut difference = u8::from(given.len() != expected.len());
    for (index, byte) in given.iter().enumerate() {
        difference |= byte ^ expected.get(index).copied().unwrap_or(!byte);
    }
    std::hint::black_box(difference) == 0
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl AuthProvider for Login {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        address: SocketAddr,
    ) -> Answer<'a, mqtt5::Result<AuthResult>> {
        let result = if self.allows(connect.username.as_deref(), connect.password.as_deref()) {
            AuthResult::success()
        } else {
            tracing::warn!(
                target: "citywire::broker",
                %address,
                client_id = connect.client_id,
                "Refused a device: wrong user name or password (broker.embedded.username and its password)."
            );
            AuthResult::fail(ReasonCode::BadUsernameOrPassword)
        };
        Box::pin(ready(Ok(result)))
    }

    fn authorize_publish<'a>(&'a self, _: &str, _: Option<&'a str>, topic: &'a str) -> Answer<'a, bool> {
        Box::pin(ready(!topic.starts_with('$')))
    }

    fn authorize_subscribe<'a>(&'a self, _: &str, _: Option<&'a str>, _: &'a str) -> Answer<'a, bool> {
        Box::pin(ready(true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_user_name_with_the_right_password_is_let_in() {
        let login = Login::new(Some(("device".into(), Secret::new("secret"))));
        let f = |username: Option<&str>, password: Option<&str>| login.allows(username, password.map(str::as_bytes));
        assert!(f(Some("device"), Some("secret")));
        assert!(!f(Some("device"), Some("Secret")));
        assert!(!f(Some("device"), Some("secret2")));
        assert!(!f(Some("device"), Some("secre")));
        assert!(!f(Some("devic"), Some("secret")));
        assert!(!f(Some("device"), None));
        assert!(!f(None, Some("secret")));
        assert!(!f(None, None));
    }

    #[test]
    fn without_a_user_name_everybody_is_let_in() {
        assert!(Login::new(None).allows(None, None));
        assert!(Login::new(None).allows(Some("anybody"), Some(b"anything")));
    }
}
