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

use crate::config::{self, Config};
use crate::metrics::TLS_CERTIFICATE_EXPIRY;

/// The certificates by which citywire proves who it is.
pub(crate) struct OwnCertificates(Vec<(PathBuf, Gauge)>);

impl OwnCertificates {
    pub fn new(config: &Config) -> OwnCertificates {
        let own = [
            ("broker_client".to_owned(), &config.broker.client_certificate_file),
            ("push_server".to_owned(), &config.push.tls.certificate_file),
        ];
        let sinks = config.sinks.iter().filter_map(|sink| match sink {
            config::Sink::Mqtt(sink) => Some((format!("sink {}", sink.name), &sink.client_certificate_file)),
            _ => None,
        });
        let of_use = |(name, file): (String, &Option<PathBuf>)| {
            let file = file.clone()?;
            Some((file, TLS_CERTIFICATE_EXPIRY.gauge(&[&name])))
        };
        let files = own.into_iter().chain(sinks);
        let certificates = OwnCertificates(files.filter_map(of_use).collect());
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
    fn each_certificate_that_the_configuration_names_is_told_of() {
        let directory = TestDirectory::new("certificates");
        for (name, content) in [("client", OF_2036), ("push", OF_2126), ("bus", OF_2036)] {
            std::fs::write(directory.path().join(name), content).unwrap();
        }
        let path = |name: &str| directory.path().join(name);
        let source = format!(
            "broker = {{ url = \"mqtts://localhost\", client_certificate_file = {client:?}, client_key_file = {client:?} }}\n\
             [push]\nlisten = \"127.0.0.1:0\"\ntls = {{ certificate_file = {:?}, key_file = {:?} }}\n\
             [[push.source]]\nname = \"general\"\nplatform = \"general\"\ntoken = \"a token of sixteen\"\n\
             [[sink]]\nkind = \"mqtt\"\nname = \"bus\"\nurl = \"mqtts://localhost\"\nalarm_topic = \"alarms\"\n\
             client_certificate_file = {bus:?}\nclient_key_file = {bus:?}\n",
            path("push"),
            path("push"),
            client = path("client"),
            bus = path("bus"),
        );
        let config = config::read(&directory.path().join("citywire.toml"), &source, []).unwrap();
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || drop(OwnCertificates::new(&config)));
        let rendered = recorder.handle().render();
        for (of, expiry) in
            [("broker_client", "2110699049"), ("push_server", "4948939049"), ("sink bus", "2110699049")]
        {
            let line = format!("citywire_tls_certificate_expiry_timestamp_seconds{{use=\"{of}\"}} {expiry}");
            assert!(rendered.lines().any(|rendered| rendered == line), "{line} is missing in:\n{rendered}");
        }
    }

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
