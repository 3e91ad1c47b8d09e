//! Proves that a program can speak TLS, replace its certificate, and learns what is wrong with one.

use corecast::StartError;

use crate::socket::builder;
use crate::support::tls::{Certificates, TlsStream, client, replace};
use crate::support::wait_until;

#[test]
fn a_program_speaks_tls_and_replaces_its_certificate() {
    let files = Certificates::new();
    let (old, new) = (files.pair("old", &["localhost"]), files.pair("new", &["localhost"]));
    let server = builder().tls(&old.certificate, &old.key).start().unwrap();
    let roots = [old.root.clone(), new.root.clone()];
    let shown = || {
        let stream = TlsStream::connect(server.local_addr(), "localhost", &client(&roots)).unwrap();
        stream.tls.peer_certificates().unwrap()[0].clone()
    };
    assert_eq!(shown(), old.root);
    for (from, to) in [(&new.certificate, &old.certificate), (&new.key, &old.key)] {
        replace(to, &std::fs::read_to_string(from).unwrap());
    }
    server.reload_certificates();
    wait_until("the new one is shown", || shown() == new.root);
}

#[test]
fn a_certificate_that_cannot_be_used_is_an_error_of_the_start() {
    let files = Certificates::new();
    let (one, other) = (files.pair("one", &["localhost"]), files.pair("other", &["localhost"]));
    let error = builder().tls(&one.certificate, &other.key).start().unwrap_err();
    assert!(matches!(error, StartError::Tls { .. }), "{error}");
    assert!(error.to_string().contains("other.key is not the key"), "{error}");
}
