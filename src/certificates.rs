//! When our own TLS certificates expire, told before it happens: a metric for each that the configuration names.
//!
//! What counts is the file as it is now, which is what the next connection uses, and the first of its certificates to
//! expire: without an intermediate one, ours is worth nothing.

use std::path::{Path, PathBuf};

use metrics::Gauge;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::config::Config;
use crate::metrics::TLS_CERTIFICATE_EXPIRY;

/// The certificates by which citywire proves who it is.
pub(crate) struct OwnCertificates(Vec<(PathBuf, Gauge)>);

impl OwnCertificates {
    pub fn new(config: &Config) -> OwnCertificates {
        let files = [
            ("broker_client", &config.broker.client_certificate_file),
            ("push_server", &config.push.tls.certificate_file),
        ];
        let of_use = |(name, file): (&str, &Option<PathBuf>)| {
            let file = file.clone()?;
            Some((file, TLS_CERTIFICATE_EXPIRY.gauge(&[name])))
        };
        let certificates = OwnCertificates(files.into_iter().filter_map(of_use).collect());
        certificates.refresh_metrics();
        certificates
    }

    /// Reads the files. One that cannot be read leaves its metric as it was: who uses the file says what is wrong.
    pub fn refresh_metrics(&self) {
        for (file, expiry) in &self.0 {
            if let Some(seconds) = first_expiry(file) {
                expiry.set(seconds as f64);
            }
        }
    }
}

/// Unix time, in seconds, at which the first certificate of a PEM file expires.
fn first_expiry(file: &Path) -> Option<u64> {
    let certificates = CertificateDer::pem_file_iter(file).ok()?;
    let expiry = |der: CertificateDer<'_>| {
        let certificate = Certificate::from_der(&der).ok()?;
        Some(certificate.tbs_certificate().validity().not_after.to_unix_duration().as_secs())
    };
    certificates.flatten().filter_map(expiry).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_directory::TestDirectory;

    /// Until 2036-11-19T09:17:29Z, which is written as UTCTime.
    const OF_2036: &str = "-----BEGIN CERTIFICATE-----
MIIBdDCCARmgAwIBAgIUJuOM/99NpDAq42k16JDUUovkmvIwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEcHVzaDAeFw0yNjExMjIwOTE3MjlaFw0zNjExMTkwOTE3Mjla
MA8xDTALBgNVBAMMBHB1c2gwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQqkmW9
VcZ7bMefgku9T7uefqOHFX+y3/rdFuYhz0Oa7VXt9pUJ+9Q03QY0dafJtqxvZqJ1
Z/3WouGxlaWx+sNMo1MwUTAdBgNVHQ4EFgQUQPWrijdToAK1cjMIkoZdGZ1Ki7Aw
HwYDVR0jBBgwFoAUQPWrijdToAK1cjMIkoZdGZ1Ki7AwDwYDVR0TAQH/BAUwAwEB
/zAKBggqhkjOPQQDAgNJADBGAiEA939vtYV8pRvPZcHvAi2JajFQLZUNCKUOgnBy
6NoDUgcCIQCyIAO8XnHVLEWOpnhny8OVNsSRxHWHE3KVPIHmvUeg9w==
-----END CERTIFICATE-----
";

    /// Until 2126-10-29T09:17:29Z, which is written as GeneralizedTime.
    const OF_2126: &str = "-----BEGIN CERTIFICATE-----
MIIBdTCCARugAwIBAgIUMefKIBAM+raLzpI8IeCYpAbRc+0wCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEcHVzaDAgFw0yNjExMjIwOTE3MjlaGA8yMTI2MTAyOTA5MTcy
OVowDzENMAsGA1UEAwwEcHVzaDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABKiC
Itb+XOHn/f7MzW2Dog9qsYgZ+kwp5xihzM/7T5Zb1H9GuAQyzvZnehjnkOjwuPiK
Hy13mJqaxhHyNXfP3r2jUzBRMB0GA1UdDgQWBBQ8HFfL8MufkRM4izovRYNEFu2t
RDAfBgNVHSMEGDAWgBQ8HFfL8MufkRM4izovRYNEFu2tRDAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0gAMEUCIBbFyEFd2cNe1W8eCuWUhygL//t4KtLA/B6L
vrpscqxGAiEA2pC6D1ZvpLxEwnn0LlX5wDT5CZ8imi4VTGQ6VZcum9s=
-----END CERTIFICATE-----
";

    #[test]
    fn what_expires_first_in_a_file_counts() {
        let directory = TestDirectory::new("certificates");
        let file = directory.path().join("push.pem");
        let f = |content: &str, expected: Option<u64>| {
            std::fs::write(&file, content).unwrap();
            assert_eq!(first_expiry(&file), expected);
        };
        f(OF_2036, Some(2_110_699_049));
        f(OF_2126, Some(4_948_939_049));
        f(&format!("{OF_2126}{OF_2036}"), Some(2_110_699_049));
        f("no certificate", None);
        f("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", None);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(first_expiry(&file), None);
    }
}
