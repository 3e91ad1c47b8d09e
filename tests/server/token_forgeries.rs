//! Proves that tokens which no key has signed get nobody in, however they are made, and that the
//! refusal says nothing of the keys.

use serde_json::json;

use crate::support::{Folder, Issuer, Raw, Server, http, unix};

/// The answer to a handshake with this token, which must be refused.
fn refusal(server: &Server, token: &str) -> String {
    let refused = Raw::try_open_with(server, token);
    let refused = refused.err().unwrap_or_else(|| panic!("{token} was accepted"));
    refused.assert_error(401);
    assert_eq!(refused.error_code(), "bad_token", "{token}");
    let challenge = refused.header("www-authenticate");
    assert_eq!(challenge, Some("Bearer error=\"invalid_token\""), "{token}");
    refused.json()["error"]["message"].as_str().unwrap().to_owned()
}

#[test]
fn a_forged_token_is_refused_and_the_answer_says_nothing() {
    let (mut issuer, mut stranger) = (Issuer::python(), Issuer::python());
    let folder = Folder::new();
    let secret = folder.write("secret", issuer.secret());
    let rsa = folder.write("rsa", issuer.public_key("RS256"));
    let ec = folder.write("ec", issuer.public_key("ES256"));
    let flags = [
        "--jwt-secret-file",
        &secret,
        "--jwt-key-file",
        &rsa,
        "--jwt-key-file",
        &ec,
        "--api-key",
        "k",
    ];
    let server = Server::start(&flags);
    let claims = json!({"sub": "ann", "cast": {"join": ["*"]}});
    let good = issuer.sign(&claims);
    assert!(Raw::try_open_with(&server, &good).is_ok());

    let payload = claims.to_string();
    let mut forged: Vec<String> = ["HS256", "HS384", "HS512", "RS256", "ES256", "EdDSA"]
        .into_iter()
        .map(|algorithm| stranger.token(algorithm, &claims))
        .collect();
    // There is no key of its family, whatever its own is.
    forged.push(issuer.token("EdDSA", &claims));
    // The public key as if it were a secret, in all spellings that a forger may try.
    for algorithm in ["HS256", "hs256", "RS256", "ES256", "none", "None", "NONE", ""] {
        let header = json!({"alg": algorithm, "typ": "JWT"}).to_string();
        for key in [issuer.public_key("RS256"), issuer.public_key("ES256")] {
            let (key, trimmed) = (key.to_owned(), key.trim().to_owned());
            forged.push(stranger.by_hand(&header, &payload, &key));
            forged.push(stranger.by_hand(&header, &payload, &trimmed));
        }
        forged.push(stranger.by_hand(&header, &payload, ""));
    }
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (header, body) = message.split_once('.').unwrap();
    let none = stranger.by_hand(r#"{"alg":"none"}"#, &payload, "");
    let none = none.rsplit_once('.').unwrap().0;
    forged.extend([
        format!("{none}."),
        none.to_owned(),
        format!("{message}."),
        message.to_owned(),
        format!("{message}.{}", &signature[1..]),
        format!("{message}.{signature}A"),
        format!("{message}.{signature}="),
        format!("{header}=.{body}.{signature}"),
        format!("{header}.{body}=.{signature}"),
        format!(".{body}.{signature}"),
        format!("{header}..{signature}"),
        format!("{header}.{body}.{signature}.{signature}"),
        signature.to_owned(),
        "...".to_owned(),
        "x".to_owned(),
        format!("{message}.{}", "A".repeat(8_000)),
    ]);
    // What is signed well, by a header that says something else.
    let secret = issuer.secret().to_owned();
    for header in [
        r#"{"alg":"HS256","crit":["exp"],"exp":1}"#,
        r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":"none"}"#,
        r#"{"alg":"HS256","kid":7}"#,
        r#"{"alg":["HS256"]}"#,
        r#"["HS256"]"#,
        r#"{"typ":"JWT"}"#,
        "",
    ] {
        forged.push(issuer.by_hand(header, &payload, &secret));
    }
    let long = format!(r#"{{"alg":"HS256","kid":"{}"}}"#, "k".repeat(4_000));
    assert!(
        Raw::try_open_with(&server, &issuer.by_hand(&long, &payload, &secret)).is_ok(),
        "a secret in a file has no name, so that a token may call it anything"
    );

    let answers: Vec<_> = forged.iter().map(|token| refusal(&server, token)).collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert!(Raw::try_open_with(&server, &good).is_ok(), "the server goes on");
    assert!(!server.log().contains("eyJ"), "no token is logged");

    let headers = [("Authorization", "Bearer k")];
    let stats = http(server.address(), "GET", "/v1/stats", &headers, "").json();
    let counted = |name: &str| stats["refused"][name].as_u64().unwrap();
    let names = ["token_malformed", "token_algorithm", "token_key", "token_signature"];
    let sum: u64 = names.into_iter().map(counted).sum();
    assert_eq!(sum, forged.len() as u64, "{}", stats["refused"]);
    assert!(names.into_iter().all(|name| counted(name) > 0), "{}", stats["refused"]);
}

#[test]
fn what_is_wrong_with_a_token_of_ones_own_is_said() {
    let (mut issuer, folder) = (Issuer::python(), Folder::new());
    let secret = folder.write("secret", issuer.secret());
    let flags =
        ["--jwt-secret-file", &secret, "--jwt-audience", "chat", "--jwt-issuer", "https://a"];
    let server = Server::start(&flags);
    let fine = json!({"aud": ["news", "chat"], "iss": "https://a", "exp": unix(60.5)});
    assert!(Raw::try_open_with(&server, &issuer.sign(&fine)).is_ok(), "a fraction is legal");
    for (name, value, words) in [
        ("aud", json!("news"), "aud"),
        ("aud", json!(["news"]), "aud"),
        ("aud", json!([]), "aud"),
        ("aud", json!(null), "aud"),
        ("iss", json!("https://b"), "iss"),
        ("iss", json!(null), "iss"),
        ("exp", json!(unix(-61.0)), "expired"),
        ("exp", json!(0), "expired"),
        ("exp", json!(-5), "expired"),
        ("nbf", json!(unix(90.0)), "nbf"),
    ] {
        let mut claims = fine.clone();
        claims[name] = value;
        let token = match name {
            // PyJWT issues no such claim.
            "aud" | "iss" | "exp" | "nbf" => {
                let secret = issuer.secret().to_owned();
                issuer.by_hand(r#"{"alg":"HS256"}"#, &claims.to_string(), &secret)
            }
            _ => issuer.sign(&claims),
        };
        let message = refusal(&server, &token);
        assert!(message.contains(words), "{claims}: {message}");
        assert!(!message.contains("chat") && !message.contains("https://a"), "{message}");
    }
    let secret = issuer.secret().to_owned();
    for payload in [
        r#"{"aud":"chat","iss":"https://a","exp":"9999999999"}"#,
        r#"{"aud":"chat","iss":"https://a","exp":null}"#,
        r#"{"aud":"chat","iss":"https://a","exp":1e999}"#,
        r#"{"aud":"chat","iss":"https://a","exp":NaN}"#,
        r#"{"aud":"chat","iss":"https://a","nbf":"0"}"#,
        r#"{"aud":"chat","iss":"https://a","sub":7}"#,
        r#"{"aud":"chat","iss":"https://a","sub":""}"#,
        r#"{"aud":"chat","iss":"https://a","cast":{"join":["a"],"join":["*"]}}"#,
        r#"{"aud":"chat","aud":"chat","iss":"https://a"}"#,
        r#"["chat"]"#,
        "",
    ] {
        let token = issuer.by_hand(r#"{"alg":"HS256"}"#, payload, &secret);
        assert!(refusal(&server, &token).contains("claim"), "{payload}");
    }
    let lasting = json!({"aud": "chat", "iss": "https://a", "exp": 1e300});
    let lasting = issuer.by_hand(r#"{"alg":"HS256"}"#, &lasting.to_string(), &secret);
    assert!(Raw::try_open_with(&server, &lasting).is_ok(), "it is valid for ever");
    let nested = issuer.by_hand(r#"{"alg":"HS256","cty":"JWT"}"#, &lasting, &secret);
    assert!(refusal(&server, &nested).contains("claims"), "a token in a token is none");
}

#[test]
fn a_token_for_an_audience_is_not_for_a_server_without_a_name() {
    let (mut issuer, folder) = (Issuer::node(), Folder::new());
    let secret = folder.write("secret", issuer.secret());
    let server = Server::start(&["--jwt-secret-file", &secret]);
    let message = refusal(&server, &issuer.sign(&json!({"aud": "other"})));
    assert!(message.contains("without --jwt-audience"), "{message}");
}
