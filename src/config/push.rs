//! The options of HTTP push: where platforms push to, and which.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::rules::{readable, secret_file};
use super::secret::Secret;
use super::section::{Options, section, words};
use super::setting::Located;
use super::values::{ByteSize, HumanDuration, kib, mib, seconds};

section! {
    /// HTTP push: platforms that forward what devices sent as `POST /push/<source>`. What `[[push.source]]` `x` pushes is
    /// a message under the topic `$push/x`, for a route to take. docs/push.md tells what to enter at each platform.
    pub struct Push {
        /// Where platforms push to. Without it, nothing can be pushed.
        pub listen: Option<SocketAddr> = None, like "\"0.0.0.0:8443\"";
        /// The longest body of a request; a longer one is refused (413).
        pub body_bytes_max: ByteSize = mib(1), in kib(1)..=mib(15);
        /// How many connections are served at a time; further ones wait.
        pub connections_max: usize = 256, in 1..=10_000;
        /// How many of them may be of one address; further ones are closed.
        pub connections_per_peer_max: usize = 128, in 1..=10_000;
        /// How many messages a second are taken from each source; more are told to come again (429).
        pub messages_per_second_max: u32 = 2_000, in 1..=1_000_000;
        /// How long a request's headers, and then its body, may take to arrive.
        pub request_time_max: HumanDuration = seconds(30), in seconds(1)..=seconds(600);
        pub tls: PushTls = PushTls::default();
        pub sources as "source": Vec<PushSource> = Vec::new();
    }
    check push
}

section! {
    /// TLS of `push.listen`. Changed files are used without a restart.
    pub struct PushTls {
        /// Our certificate (PEM), with the intermediate ones. Without it, push is plain HTTP: then put a proxy with TLS
        /// in front.
        pub certificate_file: Option<PathBuf> = None, like "\"push.pem\"";
        /// The private key (PEM) that belongs to our certificate.
        pub key_file: Option<PathBuf> = None, like "\"push-key.pem\"";
        /// Certificate authorities (PEM) of platforms that show a certificate, as CTWing does.
        pub client_ca_file: Option<PathBuf> = None, like "\"platforms-ca.pem\"";
    }
    check tls
}

section! {
    /// A platform that pushes to `/push/<name>`.
    pub struct PushSource {
        /// The source's name in its URL, its topic (`$push/<name>`), metrics and the environment.
        pub name: Located<String>, like "\"ctwing\"";
        /// How the platform proves who it is, and what it expects as an answer.
        pub platform: PushPlatform, like "\"ctwing\"";
        /// How it is made sure that a request is the platform's.
        pub auth: PushAuth = PushAuth::Secret;
        /// The secret that the platform shares with us. OneNET and Huawei sign with it; of others it stands in the header
        /// `Authorization: Bearer …` or, where a platform cannot be told to send one, in the URL: `/push/x?token=…`.
        pub token: Option<Secret> = None, like "\"a token\"";
        /// A file that holds the token, in place of `token`. A line end behind it is not part of it.
        pub token_file: Option<PathBuf> = None, like "\"ctwing-token\"";
        /// The key of an HMAC-SHA256 over the body, for `general`, in place of a token.
        pub hmac_secret: Option<Secret> = None, like "\"a secret\"";
        /// A file that holds the key, in place of `hmac_secret`.
        pub hmac_secret_file: Option<PathBuf> = None, like "\"push-hmac\"";
        /// The header that carries the HMAC, in hexadecimal digits or base64, with or without `sha256=` before it.
        pub hmac_header: String = "x-signature".into();
        /// The AES key of what OneNET pushes encrypted, as its console shows it.
        pub aes_key: Option<Secret> = None, like "\"16 characters…\"";
        /// A file that holds the AES key, in place of `aes_key`.
        pub aes_key_file: Option<PathBuf> = None, like "\"onenet-aes-key\"";
    }
    check source
}

words! {
    /// Platforms that push.
    pub enum PushPlatform = General {
        /// Anything else: a token, or an HMAC over the body.
        General = "general",
        /// China Telecom CTWing (AEP): a token in the URL, or the platform's certificate.
        Ctwing = "ctwing",
        /// China Mobile OneNET: each message is signed with the token, and the URL is tested with a GET.
        Onenet = "onenet",
        /// Huawei Cloud IoTDA: signed headers where the token is entered there, else as `general`.
        HuaweiIotda = "huawei-iotda",
        /// China Unicom's IoT platform (Gewu): a token.
        Unicom = "unicom",
    }
}

words! {
    /// How it is made sure that a request is the platform's.
    pub enum PushAuth = Secret {
        /// By the secret of this source.
        Secret = "secret",
        /// By a certificate of `push.tls.client_ca_file`.
        ClientCertificate = "client_certificate",
        /// Not at all: whoever reaches the address may push. For a proxy in front that asks for itself.
        None = "none",
    }
}

impl PushPlatform {
    /// As it is written in the configuration.
    pub fn name(self) -> &'static str {
        PushPlatform::WORDS.iter().find(|(_, platform)| *platform == self).map_or("", |(name, _)| name)
    }
}

fn push(push: &mut Push, options: &mut Options<'_, '_, '_>) {
    if !options.sound(&["listen", "source", "tls"]) {
        return;
    }
    if push.listen.is_none() && !push.sources.is_empty() {
        options.problem("source", "there is a [[push.source]], and `push.listen` is missing").help =
            Some("set listen = \"0.0.0.0:8443\" in [push]".into());
    }
    if push.listen.is_some() && push.sources.is_empty() {
        options.problem("listen", "`push.listen` is given, and there is no [[push.source]]").help =
            Some("add a [[push.source]], or remove `listen`".into());
    }
    let mut seen = HashMap::new();
    for (index, source) in push.sources.iter().enumerate() {
        let name = &source.name.value;
        // Two names that differ in `-` and `_` only would be the same in the environment.
        if let Some(first) = seen.insert(name.replace('-', "_"), index) {
            let message = format!("the sources {} and {} have the same name, \"{name}\"", first + 1, index + 1);
            options.item_problem("source", index, "name", message).help = Some("give each its own `name`".into());
        }
        if source.auth == PushAuth::ClientCertificate && push.tls.client_ca_file.is_none() {
            let message = "the source's platform shows a certificate, and `push.tls.client_ca_file` is missing";
            options.item_problem("source", index, "auth", message).help =
                Some("set it to the platform's authority, or give the source a `token_file`".into());
        }
    }
}

fn tls(tls: &mut PushTls, options: &mut Options<'_, '_, '_>) {
    let files = [
        ("certificate_file", &tls.certificate_file),
        ("key_file", &tls.key_file),
        ("client_ca_file", &tls.client_ca_file),
    ];
    for (name, file) in files {
        if let Some(file) = file {
            readable(name, file, options);
        }
    }
    match (&tls.certificate_file, &tls.key_file) {
        (Some(_), None) => {
            options.problem("certificate_file", "`key_file` is missing beside it");
        }
        (None, Some(_)) => {
            options.problem("key_file", "`certificate_file` is missing beside it");
        }
        (None, None) if tls.client_ca_file.is_some() => {
            options.problem("client_ca_file", "`certificate_file` and `key_file` are missing beside it");
        }
        _ => {}
    }
}

fn source(source: &mut PushSource, options: &mut Options<'_, '_, '_>) {
    let name = &source.name.value;
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    if name.is_empty() || name.len() > 64 || !name.bytes().all(is_word) {
        options.problem("name", "a source's name is 1 to 64 small letters, digits, `-` and `_`");
    }
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if source.hmac_header.is_empty() || !source.hmac_header.bytes().all(is_token) {
        options.problem("hmac_header", "`hmac_header` is not a header's name");
    }
    let secrets = [
        ("token", "token_file", &source.token_file),
        ("hmac_secret", "hmac_secret_file", &source.hmac_secret_file),
        ("aes_key", "aes_key_file", &source.aes_key_file),
    ];
    for (name, file_name, file) in secrets {
        secret_file(name, file_name, file, options);
    }
    let given = [&source.token, &source.hmac_secret, &source.aes_key];
    for ((name, ..), secret) in secrets.iter().zip(given) {
        if secret.as_ref().is_some_and(|secret| secret.reveal().trim().is_empty()) {
            options.problem(name, format!("`{name}` is empty"));
        }
    }
    if options.sound(&["platform", "auth"]) {
        proof(source, options);
    }
}

/// What proves who the platform is has to be there, and nothing that would have no effect.
fn proof(source: &PushSource, options: &mut Options<'_, '_, '_>) {
    let given = |name: &'static str, file: &'static str, options: &Options<'_, '_, '_>| {
        [name, file].into_iter().find(|option| options.given(option))
    };
    let platform = source.platform;
    let token = given("token", "token_file", options);
    let hmac = given("hmac_secret", "hmac_secret_file", options);
    let aes = given("aes_key", "aes_key_file", options);
    if let Some(option) = aes.filter(|_| platform != PushPlatform::Onenet) {
        options.problem(option, format!("`{option}` has no effect: it is for the platform \"onenet\""));
    }
    if let Some(option) = hmac.filter(|_| platform != PushPlatform::General) {
        options.problem(option, format!("`{option}` has no effect: it is for the platform \"general\""));
    }
    match (source.auth, token.or(hmac)) {
        (PushAuth::Secret, None) => {
            let needed = match platform {
                PushPlatform::General => "neither `token` nor `hmac_secret`",
                _ => "no `token`",
            };
            let message = format!("anybody could push to this source: it has {needed}");
            options.problem("platform", message).help = Some(
                "set `token_file`, or say auth = \"none\" if something in front makes sure who pushes".to_owned(),
            );
        }
        (PushAuth::Secret, Some(_)) if platform == PushPlatform::General && token.is_some() && hmac.is_some() => {
            options.problem("hmac_secret", "the source has both a token and an HMAC").help =
                Some("keep the one that the platform uses".into());
        }
        (PushAuth::ClientCertificate | PushAuth::None, Some(option)) => {
            options.problem(option, format!("`{option}` has no effect with this `auth`")).help =
                Some("remove one of them".into());
        }
        _ => {}
    }
}
