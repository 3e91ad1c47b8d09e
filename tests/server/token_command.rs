//! Proves that `corecast token` makes tokens that a server accepts.

use std::process::Command;

use crate::support::{Folder, Issuer, Outcome, Raw, Server, corecast};

fn run(flags: &[&str]) -> (String, Outcome) {
    let mut command: Command = corecast("token");
    let output = command.args(flags).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let outcome = Outcome { code: output.status.code(), stderr: text(output.stderr) };
    (text(output.stdout).trim_end().to_owned(), outcome)
}

#[test]
fn a_token_for_trying_things_out_says_what_its_flags_say() {
    let (issuer, folder) = (Issuer::python(), Folder::new());
    let secret = folder.write("secret", &format!("{}\n", issuer.secret()));
    let flags = ["--jwt-secret-file", &secret, "--jwt-audience", "chat", "--jwt-issuer", "me"];
    let mut flags = flags.map(str::to_owned).to_vec();
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let path = folder.write(algorithm, issuer.public_key(algorithm));
        flags.extend(["--jwt-key-file".to_owned(), path]);
    }
    let server = Server::start(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    let mut signers = vec![["--jwt-secret-file".to_owned(), secret.clone()]];
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let path = folder.write(&format!("{algorithm}.private"), issuer.private_key(algorithm));
        signers.push(["--private-key-file".to_owned(), path]);
    }
    for [flag, path] in &signers {
        let says =
            ["--sub", "ann", "--join", "news.*", "--join", "a", "--publish", "b", "--for", "5m"];
        let rest = [flag, &**path, "--audience", "chat", "--issuer", "me"];
        let (token, outcome) = run(&[&says[..], &rest].concat());
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        let mut raw = Raw::try_open_with(&server, &token).unwrap();
        assert_eq!(raw.outcome("cast:join", "news.uk"), "cast:joined");
        assert_eq!(raw.outcome("cast:join", "a"), "cast:joined");
        assert_eq!(raw.outcome("cast:join", "b"), "forbidden");
        assert_eq!(raw.outcome("cast:publish", "b"), "cast:ack");
        assert_eq!(raw.outcome("cast:broadcast", "b"), "forbidden");
    }
    // What the environment has for the server gives way to what was typed.
    let mut command = corecast("token");
    command.env("CORECAST_JWT_SECRET_FILE", &secret);
    command.args(["--sub", "ann", "--audience", "chat", "--issuer", "me", "--private-key-file"]);
    let output = command.arg(&signers[1][1]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let token = String::from_utf8(output.stdout).unwrap();
    assert!(Raw::try_open_with(&server, token.trim_end()).is_ok());

    let short = ["--sub", "a", "--broadcast", "--for", "1s", "--jwt-secret-file", &secret];
    let (token, _) = run(&[&short[..], &["--audience", "chat", "--issuer", "me"]].concat());
    let mut raw = Raw::try_open_with(&server, &token).unwrap();
    assert_eq!(raw.outcome("cast:broadcast", "b"), "cast:ack");
    assert!(raw.outcome("cast:publish", "b") == "forbidden");
}

#[test]
fn a_token_that_nothing_signs_is_refused_in_words() {
    let folder = Folder::new();
    let (no_key, short) = (folder.write("no-key", "x"), folder.write("short", "short"));
    for (flags, words) in [
        (vec!["--sub", "a"], "--jwt-secret-file"),
        (vec!["--sub", "a", "--private-key-file", &no_key], "no private key"),
        (vec!["--sub", "a", "--jwt-secret-file", &short], "at least 32"),
        (vec!["--sub", "a", "--jwt-secret-file", "/nowhere"], "cannot be read"),
        (vec!["--sub", "", "--jwt-secret-file", &short], "--sub"),
    ] {
        let (printed, outcome) = run(&flags);
        outcome.assert_readable(&[words]);
        assert!(printed.is_empty(), "{printed}");
    }
}

#[test]
fn a_token_that_no_server_accepts_is_not_printed() {
    let (issuer, folder) = (Issuer::python(), Folder::new());
    let secret = folder.write("secret", issuer.secret());
    let public = folder.write("public", issuer.public_key("RS256"));
    let private = folder.write("private", issuer.private_key("RS256"));
    let short = folder.write("short", "short");
    let (stars, long) = ("*".repeat(9), "s".repeat(257));
    let starred: Vec<_> = (0..257).map(|n| format!("--join={n}.*")).collect();
    let large: Vec<_> = (0..70).map(|n| format!("--join={n:a>250}")).collect();
    let zero = vec!["--for".to_owned(), "0s".to_owned()];
    for (flags, key, words) in [
        (vec!["--join".to_owned(), String::new()], &secret, "--join"),
        (vec!["--publish".to_owned(), stars], &secret, "--publish"),
        (starred, &secret, "--join"),
        (large, &secret, "16384"),
        (zero, &secret, "--for"),
        (vec!["--sub".to_owned(), long], &secret, "--sub"),
        (Vec::new(), &public, "--jwt-key-file"),
        (Vec::new(), &short, "at least 32"),
        (vec!["--private-key-file".to_owned(), private], &secret, "give one of them"),
    ] {
        let mut all = vec!["--jwt-secret-file", key.as_str()];
        if !flags.iter().any(|flag| flag == "--sub") {
            all.extend(["--sub", "ann"]);
        }
        all.extend(flags.iter().map(String::as_str));
        let (printed, outcome) = run(&all);
        outcome.assert_readable(&[words]);
        assert!(printed.is_empty(), "{words}: {printed}");
    }
}
