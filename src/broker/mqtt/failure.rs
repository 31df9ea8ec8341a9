//! Why a connection failed or ended, and what to do about it.

use std::io;

/// The end of a connection, as a sentence for the log and the operator page.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The network: name resolution, TCP, a connection that broke.
    #[error("{0}")]
    Network(String),
    /// The broker closed the connection without saying why.
    #[error("the broker closed the connection")]
    Closed,
    #[error("TLS failed: {0}")]
    Tls(String),
    /// The broker does not speak the MQTT version we tried.
    #[error("the broker does not speak MQTT {0}; leave broker.protocol at \"auto\", or set the version it speaks")]
    VersionRefused(&'static str),
    /// The broker refused the connection, or ended it, and said why.
    #[error("{0}")]
    Refused(String),
    /// The broker does not let us in: the credentials are wrong, or not enough.
    #[error("{0}")]
    Denied(String),
    /// What the broker sent cannot be read.
    #[error("the broker sent a packet that cannot be read: {0}")]
    Unreadable(String),
    /// The broker does not keep to the protocol otherwise.
    #[error("the broker does not keep to the MQTT protocol: {0}")]
    Protocol(String),
    #[error("the broker does not answer: {0}")]
    Timeout(&'static str),
    /// A file or value of the configuration is of no use.
    #[error("{0}")]
    Configuration(String),
}

impl Failure {
    /// The value of the metric label `reason`.
    pub fn reason(&self) -> &'static str {
        match self {
            Failure::Network(_) | Failure::Closed => "network",
            Failure::Tls(_) => "tls",
            Failure::VersionRefused(_) | Failure::Refused(_) | Failure::Denied(_) => "refused",
            Failure::Unreadable(_) | Failure::Protocol(_) => "protocol",
            Failure::Timeout(_) => "timeout",
            Failure::Configuration(_) => "configuration",
        }
    }

    /// All values of that label.
    pub const REASONS: [&str; 6] = ["network", "tls", "refused", "protocol", "timeout", "configuration"];

    pub fn refused(what: &str, advice: &str) -> Failure {
        Failure::Refused(format!("the broker refused the connection: {what}; {advice}"))
    }

    pub fn bad_credentials() -> Failure {
        Failure::denied("bad user name or password", "set broker.username and broker.password_file")
    }

    pub fn not_authorized() -> Failure {
        Failure::denied(
            "not authorized",
            "set broker.username and broker.password_file, or allow this client in the broker's access list",
        )
    }

    fn denied(what: &str, advice: &str) -> Failure {
        Failure::Denied(format!("the broker refused the connection: {what}; {advice}"))
    }

    pub fn bad_client_id() -> Failure {
        Failure::refused("the client id is not valid", "set broker.client_id to one that the broker accepts")
    }
}

/// An I/O error of a connection; rustls hides its own errors in these.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Failure::from(tls);
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                Failure::Closed
            }
            io::ErrorKind::ConnectionRefused => Failure::Network(format!(
                "nothing listens there ({error}); start the broker, or correct host and port in broker.url"
            )),
            _ => Failure::Network(format!("the connection failed: {error}")),
        }
    }
}

impl From<&rustls::Error> for Failure {
    fn from(error: &rustls::Error) -> Failure {
        use rustls::{AlertDescription as Alert, CertificateError, Error};
        let advice = match error {
            Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
                "; set broker.ca_file to the certificate of the authority that signed the broker's"
            }
            Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) => "; use in broker.url a host name that is in the broker's certificate",
            Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
                "; renew the broker's certificate, or set this machine's clock"
            }
            Error::AlertReceived(
                Alert::CertificateRequired
                | Alert::BadCertificate
                | Alert::UnknownCA
                | Alert::CertificateUnknown
                | Alert::CertificateExpired
                | Alert::HandshakeFailure,
            ) => {
                "; the broker wants another client certificate: set broker.client_certificate_file and \
                 broker.client_key_file to one that its authority signed"
            }
            Error::InvalidMessage(_) => "; does the broker speak TLS on this port? mqtts:// is usually port 8883",
            _ => "",
        };
        Failure::Tls(format!("{error}{advice}"))
    }
}
