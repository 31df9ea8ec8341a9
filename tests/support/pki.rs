//! Certificates for a test, made with the `openssl` command.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::TempDir;

/// An authority, certificates (with their keys) of a server `localhost` and a client, and an authority that signed
/// neither.
pub struct Pki {
    pub ca: PathBuf,
    pub other_ca: PathBuf,
    pub server: (PathBuf, PathBuf),
    pub client: (PathBuf, PathBuf),
}

impl Pki {
    pub fn new(directory: &TempDir) -> Pki {
        Pki::valid_for(directory, 2)
    }

    /// With certificates that expire in so many days.
    pub fn valid_for(directory: &TempDir, days: u32) -> Pki {
        let directory = directory.path();
        Pki {
            ca: authority(directory, "ca").0,
            other_ca: authority(directory, "other-ca").0,
            server: signed(directory, "server", days, "subjectAltName=DNS:localhost"),
            client: signed(directory, "client", days, "extendedKeyUsage=clientAuth"),
        }
    }
}

const KEY: [&str; 4] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];

fn authority(directory: &Path, name: &str) -> (PathBuf, PathBuf) {
    let (certificate, key) = names(directory, name);
    openssl(
        Command::new("openssl")
            .args(["req", "-x509", "-nodes", "-days", "4", "-subj"])
            .arg(format!("/CN={name}"))
            .args(KEY)
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate),
    );
    (certificate, key)
}

fn signed(directory: &Path, name: &str, days: u32, extension: &str) -> (PathBuf, PathBuf) {
    let ((certificate, key), (ca, ca_key)) = (names(directory, name), names(directory, "ca"));
    let request = directory.join(format!("{name}.csr"));
    let extensions = directory.join(format!("{name}.ext"));
    std::fs::write(&extensions, extension).expect("write the extensions");
    openssl(
        Command::new("openssl")
            .args(["req", "-new", "-nodes", "-subj"])
            .arg(format!("/CN={name}"))
            .args(KEY)
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&request),
    );
    openssl(
        Command::new("openssl")
            .args(["x509", "-req", "-days"])
            .arg(days.to_string())
            .arg("-set_serial")
            .arg(if name == "server" { "1" } else { "2" })
            .arg("-in")
            .arg(&request)
            .arg("-CA")
            .arg(ca)
            .arg("-CAkey")
            .arg(ca_key)
            .arg("-extfile")
            .arg(extensions)
            .arg("-out")
            .arg(&certificate),
    );
    (certificate, key)
}

fn names(directory: &Path, name: &str) -> (PathBuf, PathBuf) {
    (directory.join(format!("{name}.pem")), directory.join(format!("{name}.key")))
}

fn openssl(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.expect("this test needs the command `openssl`: run `make setup`");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
