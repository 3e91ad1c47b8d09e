//! Proves which keys are taken, that a key is chosen by its name and its family, and that SIGHUP
//! reads all files of keys again.

use serde_json::{Value, json};

use crate::support::{Folder, Issuer, Raw, Server, http, refused, serve, wait_until};

fn is_accepted(server: &Server, token: &str) -> bool {
    match Raw::try_open_with(server, token) {
        Ok(_) => true,
        Err(refused) => {
            refused.assert_error(401);
            false
        }
    }
}

fn key_set(keys: &[Value]) -> String {
    json!({"keys": keys}).to_string()
}

#[test]
fn a_key_of_a_set_is_chosen_by_its_name() {
    let (mut one, mut two) = (Issuer::python(), Issuer::node());
    let folder = Folder::new();
    let mut for_signing = two.jwk("EdDSA", "ed");
    (for_signing["use"], for_signing["alg"]) = ("sig".into(), "EdDSA".into());
    let mut for_encryption = one.jwk("RS256", "enc");
    for_encryption["use"] = "enc".into();
    let keys = [
        one.jwk("RS256", "rsa-1"),
        two.jwk("RS256", "rsa-2"),
        two.jwk("ES256", "ec"),
        for_signing,
        for_encryption,
        json!({"kty": "AKP", "kid": "new", "pub": "x"}),
    ];
    let path = folder.write("jwks.json", &key_set(&keys));
    let server = Server::start(&["--jwks-file", &path]);
    let claims = json!({"sub": "ann"});
    for (token, expected) in [
        (one.named("RS256", "rsa-1", &claims), true),
        (two.named("RS256", "rsa-2", &claims), true),
        (two.named("ES256", "ec", &claims), true),
        (two.named("EdDSA", "ed", &claims), true),
        // Without a name each key of the family is tried.
        (one.token("RS256", &claims), true),
        (two.token("RS256", &claims), true),
        (two.token("ES256", &claims), true),
        // By another's name, by none that there is, by one of another family, by one for another
        // purpose.
        (one.named("RS256", "rsa-2", &claims), false),
        (one.named("RS256", "rsa-3", &claims), false),
        (one.named("RS256", "", &claims), false),
        (two.named("RS256", "ec", &claims), false),
        (one.named("RS256", "enc", &claims), false),
        (one.token("ES256", &claims), false),
        (one.token("HS256", &claims), false),
    ] {
        assert_eq!(is_accepted(&server, &token), expected, "{token}");
    }
}

#[test]
fn keys_change_with_the_files_at_sighup_and_broken_files_change_nothing() {
    let (mut old, mut new) = (Issuer::python(), Issuer::node());
    let folder = Folder::new();
    let secret = folder.write("secret", old.secret());
    let pem = folder.write("pem", old.public_key("ES256"));
    let jwks = folder.write("jwks", &key_set(&[old.jwk("RS256", "a")]));
    let api = folder.write("api", "first\n");
    let flags = [
        "--jwt-secret-file",
        &secret,
        "--jwt-key-file",
        &pem,
        "--jwks-file",
        &jwks,
        "--api-key-file",
        &api,
        "--api-key",
        "typed",
    ];
    let server = Server::start(&flags);
    let claims = json!({"cast": {"join": ["*"]}});
    let of = |issuer: &mut Issuer| {
        [issuer.sign(&claims), issuer.token("ES256", &claims), issuer.named("RS256", "a", &claims)]
    };
    let (olds, news) = (of(&mut old), of(&mut new));
    let accepted = |server: &Server, tokens: &[String; 3]| {
        tokens.each_ref().map(|token| is_accepted(server, token))
    };
    assert_eq!((accepted(&server, &olds), accepted(&server, &news)), ([true; 3], [false; 3]));
    let mut connected = Raw::try_open_with(&server, &olds[0]).unwrap();

    // Two files change, two are broken.
    folder.write("secret", new.secret());
    folder.write("pem", "-----BEGIN PUBLIC KEY-----\nbroken\n");
    folder.write("jwks", &key_set(&[new.jwk("RS256", "a")]));
    std::fs::remove_file(&api).unwrap();
    server.reload();
    wait_until("it says what is broken", || server.log().matches("stay as they were").count() == 2);
    let log = server.log();
    assert!(log.contains(&pem) && log.contains(&api), "{log}");
    assert_eq!(accepted(&server, &olds), [false, true, false]);
    assert_eq!(accepted(&server, &news), [true, false, true]);
    assert!(is_accepted(&server, "first") && is_accepted(&server, "typed"));
    assert_eq!(connected.outcome("cast:join", "r"), "cast:joined", "who is connected stays");

    folder.write("pem", new.public_key("ES256"));
    folder.write("api", "second read\n");
    server.reload();
    wait_until("the keys are there", || is_accepted(&server, "second"));
    assert_eq!((accepted(&server, &olds), accepted(&server, &news)), ([false; 3], [true; 3]));
    assert!(!is_accepted(&server, "first") && is_accepted(&server, "typed"));
    let stats = |key: &str| {
        let key = format!("Bearer {key}");
        http(server.address(), "GET", "/v1/stats", &[("Authorization", &key)], "").status
    };
    assert_eq!((stats("first"), stats("second"), stats("typed")), (401, 200, 200));
    let log = server.log();
    for secret in [new.secret(), "first", "second", "typed"] {
        assert!(!log.contains(secret), "no key is logged");
    }
}

#[test]
fn a_file_that_is_no_good_key_is_refused_at_the_start() {
    let (issuer, folder) = (Issuer::python(), Folder::new());
    let mut private = issuer.jwk("EdDSA", "x");
    private["d"] = "AA".into();
    let mut weak = json!({"kty": "oct", "k": "c2hvcnQ", "kid": "w"});
    let short = key_set(&[weak.clone()]);
    weak["k"] = "A".repeat(64).into();
    let many = key_set(&vec![weak; 10_000]);
    let mut exponent = issuer.jwk("RS256", "x");
    exponent["e"] = "AQ".into();
    let mut off_curve = issuer.jwk("ES256", "x");
    off_curve["y"] = off_curve["x"].clone();
    let bag = format!("Bag Attributes\n    localKeyID: 01\n{}", issuer.public_key("ES256"));
    let public_set = key_set(&[issuer.jwk("RS256", "x")]);
    for (flag, text, words) in [
        ("--jwt-secret-file", "only-31-bytes-are-far-too-short", "at least 32"),
        ("--jwt-secret-file", "\n", "at least 32"),
        ("--jwt-secret-file", issuer.public_key("RS256"), "--jwt-key-file"),
        ("--jwt-secret-file", &bag, "--jwt-key-file"),
        ("--jwt-secret-file", &public_set, "--jwks-file"),
        ("--jwt-key-file", issuer.public_key("secp256k1"), "p-256"),
        ("--jwt-key-file", issuer.public_key("brainpool"), "p-256"),
        ("--jwks-file", &key_set(&[exponent]), "exponent"),
        ("--jwks-file", &key_set(&[off_curve]), "p-256"),
        ("--jwt-key-file", issuer.public_key("weak"), "1024 bits"),
        ("--jwt-key-file", issuer.public_key("p384"), "p-256"),
        ("--jwt-key-file", issuer.private_key("RS256"), "private key"),
        ("--jwt-key-file", issuer.secret(), "no public key in pem"),
        ("--jwks-file", "{}", "keys"),
        ("--jwks-file", r#"{"keys":[]}"#, "no key"),
        ("--jwks-file", r#"{"keys":[{"kty":"RSA"}]}"#, "key 1"),
        ("--jwks-file", &key_set(&[private]), "private"),
        ("--jwks-file", &short, "at least 32"),
        ("--jwks-file", &many, "10000 keys"),
        ("--jwks-file", &"x".repeat((1 << 20) + 1), "1048576 bytes"),
    ] {
        let path = folder.write("file", text);
        let outcome = refused(serve(&["--listen", "127.0.0.1:0", flag, &path]));
        outcome.assert_readable(&[&path.to_lowercase(), words]);
        assert!(!outcome.stderr.contains("only-31"), "{}", outcome.stderr);
    }
    let missing = folder.path("missing");
    for flag in ["--jwt-secret-file", "--jwt-key-file", "--jwks-file"] {
        let outcome = refused(serve(&["--listen", "127.0.0.1:0", flag, &missing]));
        outcome.assert_readable(&[&missing.to_lowercase(), "no such file"]);
    }
}

#[test]
fn a_point_of_the_curve_is_a_key_in_its_short_form_too() {
    let (mut issuer, folder) = (Issuer::python(), Folder::new());
    let key = folder.write("key", issuer.public_key("compressed"));
    let server = Server::start(&["--jwt-key-file", &key]);
    assert!(is_accepted(&server, &issuer.token("ES256", &json!({"sub": "ann"}))));
}

#[test]
fn a_secret_of_32_bytes_is_enough_for_each_hash() {
    let (mut issuer, folder) = (Issuer::python(), Folder::new());
    let secret = "0123456789abcdefghijklmnopqrstuv";
    let path = folder.write("secret", secret);
    let server = Server::start(&["--jwt-secret-file", &path]);
    for algorithm in ["HS256", "HS384", "HS512"] {
        let token = issuer.sign_with(algorithm, secret, &json!({"sub": "ann"}));
        assert!(is_accepted(&server, &token), "{algorithm}");
    }
}

#[test]
fn what_is_said_of_tokens_without_a_key_is_refused_at_the_start() {
    for flags in [["--jwt-audience", "a"], ["--jwt-leeway", "5s"], ["--token-cookie", "t"]] {
        let outcome = refused(serve(&[&["--listen", "127.0.0.1:0"], &flags[..]].concat()));
        outcome.assert_readable(&["--jwt-secret-file"]);
    }
    let (issuer, folder) = (Issuer::python(), Folder::new());
    let secret = folder.write("secret", issuer.secret());
    let flags = ["--listen", "127.0.0.1:0", "--jwt-secret-file", &secret, "--token-cookie", "a b"];
    refused(serve(&flags)).assert_readable(&["cookie"]);
}

#[test]
fn the_leeway_is_for_both_ends_of_a_token() {
    let (mut issuer, folder) = (Issuer::node(), Folder::new());
    let secret = folder.write("secret", issuer.secret());
    let server = Server::start(&["--jwt-secret-file", &secret, "--jwt-leeway", "1h"]);
    let at = |seconds: f64| crate::support::unix(seconds).floor();
    for (claims, expected) in [
        (json!({"exp": at(-3_000.0)}), true),
        (json!({"exp": at(-4_000.0)}), false),
        (json!({"nbf": at(3_000.0)}), true),
        (json!({"nbf": at(4_000.0)}), false),
    ] {
        assert_eq!(is_accepted(&server, &issuer.sign(&claims)), expected, "{claims}");
    }
}

#[test]
fn files_and_names_may_be_listed_with_commas_between() {
    let (mut one, mut two) = (Issuer::python(), Issuer::node());
    let folder = Folder::new();
    let listed = |kind: &str, texts: [&str; 2]| {
        let paths = ["1", "2"].map(|number| folder.path(&format!("{kind}-{number}")));
        paths.iter().zip(texts).for_each(|(path, text)| std::fs::write(path, text).unwrap());
        paths.join(",")
    };
    let sets = [key_set(&[one.jwk("RS256", "a")]), key_set(&[two.jwk("RS256", "b")])];
    let settings = [
        ("api-key-file", listed("api", ["first", "second"])),
        ("jwt-secret-file", listed("secret", [one.secret(), two.secret()])),
        ("jwt-key-file", listed("pem", [one.public_key("ES256"), two.public_key("ES256")])),
        ("jwks-file", listed("jwks", [&sets[0], &sets[1]])),
        ("jwt-audience", "chat,news".to_owned()),
        ("jwt-issuer", "me,you".to_owned()),
    ];
    let flags: Vec<String> =
        settings.iter().map(|(flag, value)| format!("--{flag}={value}")).collect();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let mut by_variables = serve(&["--listen", "127.0.0.1:0"]);
    for (flag, value) in &settings {
        by_variables.env(format!("CORECAST_{}", flag.replace('-', "_").to_uppercase()), value);
    }
    for server in [Server::start(&flags), Server::spawn(by_variables, 1)] {
        assert!(is_accepted(&server, "first") && is_accepted(&server, "second"));
        for (aud, iss, expected) in
            [("chat", "me", true), ("news", "you", true), ("chat,news", "me", false)]
        {
            let claims = json!({"aud": aud, "iss": iss});
            for (issuer, kid) in [(&mut one, "a"), (&mut two, "b")] {
                for algorithm in ["HS256", "ES256"] {
                    let token = issuer.token(algorithm, &claims);
                    assert_eq!(is_accepted(&server, &token), expected, "{algorithm} {claims}");
                }
                let token = issuer.named("RS256", kid, &claims);
                assert_eq!(is_accepted(&server, &token), expected, "{claims}");
            }
        }
    }
}
