//! Issuers of tokens that we did not write, and files with their keys.

use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// All algorithms of tokens that the server knows.
pub(crate) const ALGORITHMS: [&str; 6] = ["HS256", "HS384", "HS512", "RS256", "ES256", "EdDSA"];

/// A process that issues tokens with keys of its own, which exist nowhere else.
pub(crate) struct Issuer {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    keys: Value,
}

impl Issuer {
    /// PyJWT.
    pub(crate) fn python() -> Issuer {
        let mut command = Command::new(installed("venv/bin/python"));
        command.arg(script("issuer.py"));
        Issuer::start(command)
    }

    /// The `jose` of npm.
    pub(crate) fn node() -> Issuer {
        let mut command = Command::new("node");
        command.env("NODE_PATH", installed("node/node_modules/jose").parent().unwrap());
        command.arg(script("issuer.mjs"));
        Issuer::start(command)
    }

    fn start(mut command: Command) -> Issuer {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        let orders = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut issuer = Issuer { child, orders, answers, keys: Value::Null };
        issuer.keys = serde_json::from_str(&issuer.line()).expect("keys, else scripts/setup helps");
        issuer
    }

    /// A token with these claims.
    pub(crate) fn token(&mut self, algorithm: &str, claims: &Value) -> String {
        self.order(&json!({"alg": algorithm, "claims": claims}))
    }

    /// The same by HS256.
    pub(crate) fn sign(&mut self, claims: &Value) -> String {
        self.token("HS256", claims)
    }

    /// The same with a key's name in the header.
    pub(crate) fn named(&mut self, algorithm: &str, kid: &str, claims: &Value) -> String {
        self.order(&json!({"alg": algorithm, "claims": claims, "headers": {"kid": kid}}))
    }

    /// A token of exactly these texts, with a signature by HMAC-SHA256: Python alone.
    pub(crate) fn by_hand(&mut self, header: &str, payload: &str, secret: &str) -> String {
        self.order(&json!({"header": header, "payload": payload, "secret": secret}))
    }

    /// A token with these claims, signed by this secret: Python alone.
    pub(crate) fn sign_with(&mut self, algorithm: &str, secret: &str, claims: &Value) -> String {
        self.order(&json!({"alg": algorithm, "claims": claims, "secret": secret}))
    }

    fn order(&mut self, order: &Value) -> String {
        writeln!(self.orders, "{order}").expect("the issuer lives");
        self.line()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    pub(crate) fn secret(&self) -> &str {
        self.keys["secret"].as_str().unwrap()
    }

    /// The public key in PEM; of Python alone `compressed` is that of ES256 in another form, and `weak`,
    /// `p384`, `secp256k1` and `brainpool` are keys that are none for tokens.
    pub(crate) fn public_key(&self, name: &str) -> &str {
        let key = &self.keys[name];
        key["public"].as_str().or(key.as_str()).unwrap()
    }

    pub(crate) fn private_key(&self, algorithm: &str) -> &str {
        self.keys[algorithm]["private"].as_str().unwrap()
    }

    /// A key as an entry of a JSON Web Key Set.
    pub(crate) fn jwk(&self, algorithm: &str, kid: &str) -> Value {
        let mut jwk = self.keys[algorithm]["jwk"].clone();
        jwk["kid"] = kid.into();
        jwk
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder of this test's own, which is removed at its end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("corecast-tokens-{}-{number}", std::process::id());
        let folder = Folder(std::env::temp_dir().join(name));
        fs::create_dir_all(&folder.0).unwrap();
        folder
    }

    /// Writes a file, and returns its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Seconds since 1970, from now on.
pub(crate) fn unix(from_now: f64) -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() + from_now
}

/// What `scripts/setup` installed. To pass without it would prove nothing, so its absence fails.
fn installed(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join(path);
    assert!(path.exists(), "{} is missing: scripts/setup installs it", path.display());
    path
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}
