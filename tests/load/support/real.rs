//! One `corecast serve` process per test, ended with the test.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::{Certificate, Fault};

pub(crate) struct Server {
    child: Child,
    url: String,
}

impl Server {
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::start_as("ws", flags)
    }

    /// With TLS, and a certificate with this fault.
    pub(crate) fn start_sealed(fault: Fault) -> (Self, Certificate) {
        let certificate = Certificate::new(fault);
        (Self::sealed_with(&certificate, &[]), certificate)
    }

    /// With TLS, this certificate, and these further flags.
    pub(crate) fn sealed_with(certificate: &Certificate, flags: &[&str]) -> Self {
        let (file, key) = (certificate.file(), certificate.key());
        let sealed = ["--tls-cert", &file, "--tls-key", &key];
        Self::start_as("wss", &[&sealed[..], flags].concat())
    }

    fn start_as(scheme: &str, flags: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_corecast"))
            .args(["serve", "--listen", "127.0.0.1:0", "--shards", "2"])
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the corecast binary starts");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").expect("an address line");
        Self { url: format!("{scheme}://{address}/ws"), child }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn pid(&self) -> String {
        self.child.id().to_string()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, which another assertion tells better.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
