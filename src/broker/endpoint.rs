//! Where a broker is and how we prove who we are: URL, user and password, certificates.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use super::Error;
use crate::config::{self, Secret};

/// A broker's address and what is needed to be let in.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub(crate) host: String,
    pub(crate) port: u16,
    tls: bool,
    security: Security,
}

/// User and password, trusted authorities, client certificate: each optional. Files are read at each connection
/// attempt, so that a renewed certificate or password is used without a restart.
#[derive(Clone, Debug, Default)]
pub struct Security {
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub password_file: Option<PathBuf>,
    /// PEM; trusted instead of the system's authorities.
    pub ca_file: Option<PathBuf>,
    /// PEM, with the intermediate certificates.
    pub client_certificate_file: Option<PathBuf>,
    /// PEM: PKCS #8, PKCS #1 or SEC 1, not encrypted.
    pub client_key_file: Option<PathBuf>,
}

impl From<&config::Broker> for Security {
    fn from(broker: &config::Broker) -> Security {
        Security {
            username: broker.username.clone(),
            password: broker.password.clone(),
            password_file: broker.password_file.clone(),
            ca_file: broker.ca_file.clone(),
            client_certificate_file: broker.client_certificate_file.clone(),
            client_key_file: broker.client_key_file.clone(),
        }
    }
}

impl From<&config::MqttSink> for Security {
    fn from(sink: &config::MqttSink) -> Security {
        Security {
            username: sink.username.clone(),
            password: sink.password.clone(),
            password_file: sink.password_file.clone(),
            ca_file: sink.ca_file.clone(),
            client_certificate_file: sink.client_certificate_file.clone(),
            client_key_file: sink.client_key_file.clone(),
        }
    }
}

/// What the files hold at this moment.
pub(crate) struct Credentials {
    pub tls: Option<Arc<ClientConfig>>,
    pub login: Option<(String, String)>,
}

impl Endpoint {
    /// Checks address and options, and that the files can be used, without contacting anybody.
    pub fn new(url: &str, security: Security) -> Result<Endpoint, Error> {
        let (tls, host, port) = parse(url).map_err(|problem| Error::Url { url: without_login(url), problem })?;
        let endpoint = Endpoint { host, port, tls, security };
        endpoint.check()?;
        endpoint.credentials()?;
        Ok(endpoint)
    }

    /// `mqtt://host:port`, without user name and password.
    pub fn url(&self) -> String {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        format!("{scheme}://{}:{}", self.host, self.port)
    }

    /// Reads the files.
    pub(crate) fn credentials(&self) -> Result<Credentials, Error> {
        let tls = if self.tls { Some(Arc::new(self.client_config()?)) } else { None };
        Ok(Credentials { tls, login: self.login()? })
    }

    fn check(&self) -> Result<(), Error> {
        let security = &self.security;
        let has_password = security.password.is_some() || security.password_file.is_some();
        if security.password.is_some() && security.password_file.is_some() {
            return Err(Error::TwoPasswords { section: "broker" });
        }
        if has_password && security.username.is_none() {
            return Err(Error::Half { present: "password", missing: "username" });
        }
        match (&security.client_certificate_file, &security.client_key_file) {
            (Some(_), None) => {
                return Err(Error::Half { present: "client_certificate_file", missing: "client_key_file" });
            }
            (None, Some(_)) => {
                return Err(Error::Half { present: "client_key_file", missing: "client_certificate_file" });
            }
            _ => {}
        }
        if !self.tls && security.ca_file.is_some() {
            return Err(Error::WithoutTls { option: "ca_file" });
        }
        if !self.tls && security.client_certificate_file.is_some() {
            return Err(Error::WithoutTls { option: "client_certificate_file" });
        }
        Ok(())
    }

    fn login(&self) -> Result<Option<(String, String)>, Error> {
        let Some(username) = &self.security.username else { return Ok(None) };
        let password = match (&self.security.password, &self.security.password_file) {
            (Some(password), _) => password.reveal().to_owned(),
            (None, Some(file)) => read_password(file, "password_file")?.reveal().to_owned(),
            (None, None) => String::new(),
        };
        Ok(Some((username.clone(), password)))
    }

    fn client_config(&self) -> Result<ClientConfig, Error> {
        // The provider is named, not taken from the process: another library in the process may bring its own.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::ClientCertificate(error.to_string()))?
            .with_root_certificates(self.authorities()?);
        match (&self.security.client_certificate_file, &self.security.client_key_file) {
            (Some(certificate_file), Some(key_file)) => {
                let chain = certificates("client_certificate_file", certificate_file)?;
                let key = PrivateKeyDer::from_pem_file(key_file)
                    .map_err(|error| unreadable("client_key_file", key_file, error))?;
                builder.with_client_auth_cert(chain, key).map_err(|error| Error::ClientCertificate(error.to_string()))
            }
            _ => Ok(builder.with_no_client_auth()),
        }
    }

    fn authorities(&self) -> Result<RootCertStore, Error> {
        let mut roots = RootCertStore::empty();
        let Some(file) = &self.security.ca_file else {
            let system = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(system.certs);
            if roots.is_empty() {
                let reasons: Vec<String> = system.errors.iter().map(ToString::to_string).collect();
                return Err(Error::NoSystemAuthorities(reasons.join("; ")));
            }
            return Ok(roots);
        };
        for certificate in certificates("ca_file", file)? {
            roots.add(certificate).map_err(|error| unreadable("ca_file", file, error))?;
        }
        Ok(roots)
    }
}

/// The file's text without its line end.
pub(super) fn read_password(file: &Path, option: &'static str) -> Result<Secret, Error> {
    let text = std::fs::read_to_string(file).map_err(|error| unreadable(option, file, error))?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
}

fn certificates(option: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(option, file, error))?;
    if certificates.is_empty() {
        return Err(unreadable(option, file, "it holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)"));
    }
    Ok(certificates)
}

fn unreadable(option: &'static str, file: &Path, reason: impl ToString) -> Error {
    Error::File { option, file: file.to_owned(), reason: reason.to_string() }
}

/// Scheme, host and port of `mqtt[s]://host[:port][/]`; an error continues a sentence that begins with the URL.
fn parse(url: &str) -> Result<(bool, String, u16), String> {
    let (scheme, rest) = url.split_once("://").ok_or("has no scheme")?;
    let tls = match scheme {
        "mqtt" => false,
        "mqtts" => true,
        _ => return Err(format!("has the scheme `{scheme}`, which is neither mqtt nor mqtts")),
    };
    if rest.contains('@') {
        return Err("holds a user name: set broker.username and broker.password_file instead".into());
    }
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#']) {
        return Err("has more after host and port, which MQTT over TCP does not know".into());
    }
    let (host, port) = split_port(authority)?;
    if host.is_empty() {
        return Err("has no host".into());
    }
    if host.contains(char::is_whitespace) {
        return Err("has a space in its host".into());
    }
    if tls && ServerName::try_from(host.as_str()).is_err() {
        return Err("has a host by which TLS cannot check the broker's certificate: use its name".into());
    }
    Ok((tls, host, port.unwrap_or(if tls { 8883 } else { 1883 })))
}

/// Splits `host:port`; an IPv6 address keeps its brackets, as name resolution wants it.
fn split_port(authority: &str) -> Result<(String, Option<u16>), String> {
    let bracket = authority.rfind(']').map_or(0, |index| index + 1);
    let Some(colon) = authority[bracket..].rfind(':').map(|index| index + bracket) else {
        return Ok((authority.to_owned(), None));
    };
    let (host, port) = (&authority[..colon], &authority[colon + 1..]);
    if bracket == 0 && host.contains(':') {
        return Err("has an IPv6 address without brackets".into());
    }
    match port.parse::<u16>() {
        Ok(port) if port != 0 => Ok((host.to_owned(), Some(port))),
        _ => Err(format!("has the port `{port}`, which is not a number from 1 to 65535")),
    }
}

/// The URL as it may be shown: what stands before `@` may be a password.
fn without_login(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => format!("{}://***{}", &url[..scheme], &url[at..]),
        (None, Some(at)) => format!("***{}", &url[at..]),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_give_scheme_host_and_port() {
        let f = |url: &str, tls: bool, host: &str, port: u16| {
            assert_eq!(parse(url), Ok((tls, host.to_owned(), port)), "{url}");
        };
        f("mqtt://broker.example", false, "broker.example", 1883);
        f("mqtts://broker.example/", true, "broker.example", 8883);
        f("mqtt://127.0.0.1:1884", false, "127.0.0.1", 1884);
        f("mqtt://[::1]:1884", false, "[::1]", 1884);
        f("mqtt://[::1]", false, "[::1]", 1883);
        f("mqtts://10.0.0.1:8884", true, "10.0.0.1", 8884);
    }

    #[test]
    fn a_wrong_url_is_refused_with_the_reason() {
        let f = |url: &str, expected: &str| {
            let error = Endpoint::new(url, Security::default()).expect_err(url).to_string();
            assert!(error.contains(expected), "{url}: {error}");
        };
        f("broker.example", "has no scheme");
        f("http://broker.example", "neither mqtt nor mqtts");
        f("mqtt://", "has no host");
        f("mqtt://broker.example:0", "port `0`");
        f("mqtt://broker.example:mqtt", "port `mqtt`");
        f("mqtt://::1", "without brackets");
        f("mqtt://broker.example/topic", "more after host and port");
        f("mqtts://[::1]", "use its name");
    }

    #[test]
    fn a_password_in_the_url_is_refused_and_not_repeated() {
        let error = Endpoint::new("mqtt://city:hunter2@broker.example", Security::default()).expect_err("refused");
        assert!(error.to_string().contains("broker.username"), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn options_that_would_have_no_effect_are_errors() {
        let f = |url: &str, security: Security, expected: &str| {
            let error = Endpoint::new(url, security).expect_err(expected).to_string();
            assert!(error.contains(expected), "{error}");
        };
        let none = Security::default;
        let secret = || Some(Secret::new("x"));
        f("mqtt://h", Security { password: secret(), ..none() }, "without broker.username");
        f("mqtt://h", Security { ca_file: Some("ca.pem".into()), ..none() }, "not mqtts://");
        f("mqtts://h", Security { client_key_file: Some("k".into()), ..none() }, "client_certificate_file");
        f("mqtt://h", Security { password: secret(), password_file: Some("p".into()), ..none() }, "both set");
        f(
            "mqtts://h",
            Security { ca_file: Some("/nowhere/ca.pem".into()), ..none() },
            "cannot read broker.ca_file /nowhere/ca.pem",
        );
    }
}
