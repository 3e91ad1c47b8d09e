//! Proves that a file of keys that does not answer holds up nothing else, that no error shows what a
//! file of keys holds, and that careless files are warned of.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

use crate::support::{Folder, Server, http, refused, serve, tls, wait_until};

/// Puts a pipe in the place of a file: to read it is to wait for what nothing writes, as on a
/// network that is gone.
fn make_silent(path: &str) {
    let name = CString::new(path).unwrap();
    fs::remove_file(path).unwrap();
    // SAFETY: the name is a string that ends with a zero, and lives.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0, "{path} becomes a pipe");
}

/// Waits until the server reads the pipe, which then goes on for as long as this is held.
fn wait_for_reader(path: &str) -> File {
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(libc::O_NONBLOCK);
    let mut writer = None;
    wait_until("the server reads the file", || {
        // It cannot be opened before something reads it.
        writer = options.open(path).ok();
        writer.is_some()
    });
    writer.unwrap()
}

#[test]
fn a_key_file_that_does_not_answer_keeps_no_signal_from_being_heard() {
    let folder = Folder::new();
    let keys = folder.write("keys", "0123456789abcdef\n");
    let mut server = Server::start(&["--api-key-file", &keys]);
    make_silent(&keys);
    server.reload();
    let _read = wait_for_reader(&keys);
    wait_until("it says that it waits", || {
        server.reload();
        server.log().contains("still being read")
    });
    let key = [("Authorization", "Bearer 0123456789abcdef")];
    assert_eq!(http(server.address(), "GET", "/v1/stats", &key, "").status, 200);
    assert_eq!(server.terminate().code(), Some(0), "it drains");
    wait_until("it says so", || server.log().contains("drained"));
}

#[test]
fn a_certificate_that_does_not_answer_keeps_no_signal_from_being_heard() {
    let (mut server, _, files) = tls::start(&[]);
    let certificate = files.path("server.pem").to_str().unwrap().to_owned();
    make_silent(&certificate);
    server.reload();
    let _read = wait_for_reader(&certificate);
    assert_eq!(server.terminate().code(), Some(0), "it drains");
}

#[test]
fn files_that_are_replaced_twice_are_read_as_they_are_last() {
    let folder = Folder::new();
    let keys = folder.write("keys", "0123456789abcdef\n");
    let server = Server::start(&["--api-key-file", &keys]);
    for name in ["one", "two", "three", "four"] {
        folder.write("keys", &format!("0123456789abcdef-{name}\n"));
        server.reload();
    }
    let key = [("Authorization", "Bearer 0123456789abcdef-four")];
    wait_until("the last key is known", || {
        http(server.address(), "GET", "/v1/stats", &key, "").status == 200
    });
}

#[test]
fn no_error_shows_what_a_file_of_keys_holds() {
    let folder = Folder::new();
    let start = |flags: &[&str]| refused(serve(&[&["--listen", "127.0.0.1:0"], flags].concat()));
    for text in ["publisher s3cr3t-of-the-shop\n", "correct s3cr3t battery staple", "k s3cr3t,read"]
    {
        let keys = folder.write("keys", text);
        let outcome = start(&["--api-key-file", &keys]);
        outcome.assert_readable(&["line 1", "publish, read, admin"]);
        assert!(!outcome.stderr.contains("s3cr3t"), "{}", outcome.stderr);
    }
    // A key in one line, as it becomes in an environment.
    let pem = folder.write("pem", "-----BEGIN PRIVATE KEY-----s3cr3t-----END PRIVATE KEY-----\n");
    let files = tls::Certificates::new();
    let pair = files.pair("pair", &["localhost"]);
    let (certificate, pem) = (pair.certificate.to_str().unwrap(), pem.as_str());
    for [certificate, key] in [[certificate, pem], [pem, certificate]] {
        let outcome = start(&["--tls-cert", certificate, "--tls-key", key]);
        outcome.assert_readable(&[&pem.to_lowercase()]);
        for shown in ["s3cr3t", "115, 51, 99"] {
            assert!(!outcome.stderr.contains(shown), "{}", outcome.stderr);
        }
    }

    let keys = folder.write("keys", "0123456789abcdef\n");
    let server = Server::start(&["--api-key-file", &keys]);
    folder.write("keys", "publisher s3cr3t-of-the-shop\n");
    server.reload();
    wait_until("it says what is wrong", || server.log().contains("line 1"));
    assert!(!server.log().contains("s3cr3t"), "{}", server.log());
}

#[test]
fn secrets_that_others_may_read_or_guess_are_warned_of() {
    let folder = Folder::new();
    let secret = folder.write("secret", &"0123456789abcdef".repeat(2));
    let keys = folder.write("keys", "0123456789abcdef\n");
    let shared = folder
        .write("shared", &format!(r#"{{"keys":[{{"kty":"oct","k":"{}"}}]}}"#, "A".repeat(43)));
    let flags = ["--jwt-secret-file", &secret, "--api-key-file", &keys, "--jwks-file", &shared];
    let set_mode = |mode| {
        for path in [&secret, &keys, &shared] {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
    };
    let log_of = |flags: &[&str]| {
        let mut server = Server::start(flags);
        assert_eq!(server.terminate().code(), Some(0));
        wait_until("its log is whole", || server.log().contains("drained"));
        server.log()
    };
    set_mode(0o640);
    let log = log_of(&flags);
    assert!(!log.contains("WARN"), "{log}");
    set_mode(0o644);
    let log = log_of(&flags);
    for path in [&secret, &keys, &shared] {
        assert!(log.contains(&format!("{path} can be read by every user")), "{path}: {log}");
    }
    folder.write("keys", "0123456789abcde\n");
    let log = log_of(&["--api-key-file", &keys]);
    assert!(log.contains("fewer than 16 characters") && log.contains(&keys), "{log}");
    let log = log_of(&["--api-key", "0123456789abcde"]);
    assert!(log.contains("fewer than 16 characters") && !log.contains("0123456789abcde"), "{log}");
}
