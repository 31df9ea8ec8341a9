//! Signatures as in the Standard Webhooks specification: HMAC-SHA256 over `id.timestamp.body`, in base64.

use std::borrow::Cow;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use ring::hmac;

use crate::config::Secret;

/// What stands before a secret that is written in base64.
const PREFIX: &str = "whsec_";

/// Signs requests, if there is a secret. Its file is read for each, so that a new one is used without a restart.
pub(super) struct Signer {
    secret: Option<Secret>,
    file: Option<PathBuf>,
}

/// Why nothing can be signed.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("secret_file {file} cannot be read ({source}); see that it is there and that citywire may read it")]
    File { file: PathBuf, source: std::io::Error },
    #[error("the secret is empty; set `secret` or `secret_file` to what the receiver has")]
    Empty,
    #[error("the secret begins with {PREFIX}, and is not base64 behind that; copy it again from the receiver")]
    NoBase64,
}

impl Signer {
    pub fn new(secret: Option<Secret>, file: Option<PathBuf>) -> Signer {
        Signer { secret, file }
    }

    /// Whether the secret can be used.
    pub fn check(&self) -> Result<(), SecretError> {
        self.key().map(drop)
    }

    /// The value of `webhook-signature`; none without a secret.
    pub fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> Result<Option<HeaderValue>, SecretError> {
        let Some(key) = self.key()? else { return Ok(None) };
        let value = format!("v1,{}", signature(&key, id, timestamp, body));
        Ok(Some(HeaderValue::from_str(&value).expect("BUG: base64 can stand in a header")))
    }

    fn key(&self) -> Result<Option<hmac::Key>, SecretError> {
        let text: Cow<'_, str> = match (&self.file, &self.secret) {
            (Some(file), _) => std::fs::read_to_string(file)
                .map_err(|source| SecretError::File { file: file.clone(), source })?
                .into(),
            (None, Some(secret)) => secret.reveal().into(),
            (None, None) => return Ok(None),
        };
        key(text.trim()).map(Some)
    }
}

/// The key of a secret: the bytes that are written in base64 behind `whsec_`, else those of the text itself.
fn key(secret: &str) -> Result<hmac::Key, SecretError> {
    let bytes: Cow<'_, [u8]> = match secret.strip_prefix(PREFIX) {
        Some(base64) => STANDARD.decode(base64).map_err(|_| SecretError::NoBase64)?.into(),
        None => secret.as_bytes().into(),
    };
    match bytes.is_empty() {
        true => Err(SecretError::Empty),
        false => Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes)),
    }
}

fn signature(key: &hmac::Key, id: &str, timestamp: &str, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(key);
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        context.update(part);
    }
    STANDARD.encode(context.sign())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Python's `hmac` gives for the same, with the key in base64: the form of the specification's libraries.
    #[test]
    fn a_signature_is_that_of_standard_webhooks() {
        let key = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a key");
        let body = br#"{"test": 2432232314}"#;
        let signed = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body);
        assert_eq!(signed, "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_without_the_prefix_is_its_own_bytes() {
        let plain = signature(&key("s3cret").expect("a key"), "i", "1", b"{}");
        let base64 = signature(&key("whsec_czNjcmV0").expect("a key"), "i", "1", b"{}");
        assert_eq!(plain, base64);
    }

    #[test]
    fn a_secret_that_is_of_no_use_is_told_and_not_repeated() {
        let f = |secret: &str, expected: &str| {
            let error = key(secret).expect_err(secret).to_string();
            assert!(error.contains(expected) && !error.contains("***"), "{error}");
        };
        f("", "the secret is empty");
        f("whsec_", "the secret is empty");
        f("whsec_not base64!", "is not base64 behind that");
        let missing = Signer::new(None, Some("/nowhere/secret".into())).check().expect_err("no file").to_string();
        assert!(missing.contains("secret_file /nowhere/secret cannot be read"), "{missing}");
    }
}
