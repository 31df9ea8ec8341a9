//! A platform that pushes: its topic, its secrets, its pace.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderName, StatusCode};
use bytes::Bytes;
use metrics::Counter;
use ring::hmac;

use super::answer::{Refusal, STATUSES};
use super::onenet::{self, AesKey};
use super::pace::Pace;
use super::proof;
use crate::broker::{PUSH_LEVEL, source};
use crate::config::{self, PushAuth, PushPlatform, Secret};
use crate::http::Peer;
use crate::metrics as names;
use crate::refreshed::Refreshed;

/// Between two lines of the log on refused requests of one source.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// One `[[push.source]]`.
pub(super) struct Source {
    pub name: String,
    /// `$push/<name>`.
    pub topic: Bytes,
    /// Names it in the journal ([`crate::broker::Delivery::source`]).
    pub id: u64,
    pub pace: Pace,
    platform: PushPlatform,
    auth: PushAuth,
    keys: Refreshed<Keys>,
    hmac_header: HeaderName,
    answers: [Counter; STATUSES.len()],
    complaints: Mutex<Complaints>,
}

#[derive(Default)]
struct Complaints {
    last: Option<Instant>,
    unsaid: u64,
}

/// What the files and options of a source's secrets hold.
struct Keys {
    token: Option<Secret>,
    hmac: Option<hmac::Key>,
    aes: Option<AesKey>,
}

impl Source {
    /// Reads the secrets.
    ///
    /// # Errors
    /// Which of them cannot be used.
    pub fn new(config: &config::PushSource, messages_per_second_max: u32) -> Result<Source, String> {
        let name = config.name.value.clone();
        let files = [&config.token_file, &config.hmac_secret_file, &config.aes_key_file];
        let files: Vec<PathBuf> = files.into_iter().flatten().cloned().collect();
        let keys = {
            let config = config.clone();
            Refreshed::new(format!("push.source {name}"), files, move || Keys::read(&config))?
        };
        let hmac_header = HeaderName::from_bytes(config.hmac_header.as_bytes())
            .map_err(|_| format!("push.source \"{name}\": hmac_header is not a header's name"))?;
        let answers = STATUSES.map(|status| names::PUSH_ANSWERS.counter(&[&name, status.as_str()]));
        Ok(Source {
            topic: format!("{PUSH_LEVEL}/{name}").into(),
            id: source(PUSH_LEVEL, &name),
            pace: Pace::new(messages_per_second_max, Instant::now()),
            platform: config.platform,
            auth: config.auth,
            keys,
            hmac_header,
            answers,
            complaints: Mutex::default(),
            name,
        })
    }

    /// How long after a request an answer is still of use. OneNET gives up after 5 s and Huawei after 15 s; of the others
    /// it is not known.
    pub fn answer_time_max(&self) -> Duration {
        Duration::from_secs(match self.platform {
            PushPlatform::Onenet => 4,
            PushPlatform::HuaweiIotda => 12,
            PushPlatform::Ctwing | PushPlatform::Unicom | PushPlatform::General => 8,
        })
    }

    /// The methods that the source takes.
    pub fn methods(&self) -> &'static str {
        if self.tests_its_url() { "GET, POST" } else { "POST" }
    }

    /// Whether the platform tests the URL with a GET.
    pub fn tests_its_url(&self) -> bool {
        self.platform == PushPlatform::Onenet
    }

    /// Answers the platform's test of the URL.
    pub fn handshake(&self, peer: Peer, query: &str) -> Result<String, Refusal> {
        self.check_certificate(peer)?;
        let keys = self.keys.get();
        onenet::handshake(query, keys.token.as_ref().map(|token| token.reveal().as_bytes()))
    }

    /// Whether the request is the platform's, as far as that can be told before its body is read.
    pub fn check_head(&self, peer: Peer, headers: &HeaderMap, query: &str) -> Result<(), Refusal> {
        self.check_certificate(peer)?;
        let keys = self.keys.get();
        let Some(token) = keys.token.as_ref().filter(|_| self.platform != PushPlatform::Onenet) else {
            return Ok(());
        };
        let token = token.reveal().as_bytes();
        let is_signed = || self.platform == PushPlatform::HuaweiIotda && proof::is_signed_by_huawei(headers, token);
        if proof::carries_token(headers, query, token) || is_signed() {
            return Ok(());
        }
        Err(Refusal::unproven(match self.platform {
            PushPlatform::HuaweiIotda => {
                "neither the signature in the headers nor a token is that of this source: enter the same token at IoTDA \
                 and in token_file"
            }
            _ => "the token of this source is missing or wrong: send it as `Authorization: Bearer …`, or as ?token=…",
        }))
    }

    /// The same for platforms that sign the body.
    pub fn check_body(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Refusal> {
        let keys = self.keys.get();
        if let Some(key) = &keys.hmac {
            return proof::check_hmac(headers, &self.hmac_header, body, key);
        }
        match &keys.token {
            Some(token) if self.platform == PushPlatform::Onenet => onenet::check(body, token.reveal().as_bytes()),
            _ => Ok(()),
        }
    }

    /// What is to be kept of a body that is the platform's: opened, if it was encrypted.
    pub fn open(&self, body: Bytes) -> Bytes {
        let keys = self.keys.get();
        let Some(key) = &keys.aes else { return body };
        onenet::open(body, key).unwrap_or_else(|(body, why)| {
            self.complain(|| format!("A message could not be decrypted with the source's aes_key: {why}."));
            body
        })
    }

    fn check_certificate(&self, peer: Peer) -> Result<(), Refusal> {
        match self.auth {
            PushAuth::ClientCertificate if !peer.is_certified => {
                Err(Refusal::unproven("the connection shows no certificate of push.tls.client_ca_file"))
            }
            _ => Ok(()),
        }
    }

    /// Counts an answer.
    pub fn answered(&self, status: StatusCode) {
        if let Some(index) = STATUSES.iter().position(|known| *known == status) {
            self.answers[index].increment(1);
        }
    }

    /// Logs what is wrong with a request, not more often than once a minute.
    pub fn complain(&self, what: impl FnOnce() -> String) {
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        if complaints.last.is_some_and(|last| last.elapsed() < COMPLAINT_INTERVAL) {
            complaints.unsaid += 1;
            return;
        }
        let unsaid = std::mem::take(&mut complaints.unsaid);
        complaints.last = Some(Instant::now());
        drop(complaints);
        tracing::warn!(target: "citywire::push", source = self.name, unsaid, "{}", what());
    }
}

impl Keys {
    fn read(config: &config::PushSource) -> Result<Keys, String> {
        let name = &config.name.value;
        let secret = |option: &str, secret: &Option<Secret>, file: &Option<PathBuf>| match (secret, file) {
            (Some(secret), _) => Ok(Some(secret.clone())),
            (None, Some(file)) => read(name, option, file).map(Some),
            (None, None) => Ok(None),
        };
        let token = secret("token_file", &config.token, &config.token_file)?;
        let hmac = secret("hmac_secret_file", &config.hmac_secret, &config.hmac_secret_file)?;
        let aes = secret("aes_key_file", &config.aes_key, &config.aes_key_file)?;
        let aes = aes.map(|key| AesKey::parse(key.reveal())).transpose();
        Ok(Keys {
            token,
            hmac: hmac.map(|key| hmac::Key::new(hmac::HMAC_SHA256, key.reveal().as_bytes())),
            aes: aes.map_err(|why| format!("push.source \"{name}\": the AES key cannot be used: {why}"))?,
        })
    }
}

/// The file's text without its line end.
fn read(source: &str, option: &str, file: &Path) -> Result<Secret, String> {
    let unusable = |why: String| format!("push.source \"{source}\": cannot use {option} {}: {why}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| unusable(error.to_string()))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.trim().is_empty() { Err(unusable("it is empty".into())) } else { Ok(Secret::new(text)) }
}
