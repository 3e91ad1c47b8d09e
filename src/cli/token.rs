//! `corecast token`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use corecast_load::units::parse::duration;
use corecast_shards::{NameSet, Pattern};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Map, Value, json};

use super::environment::is_typed;
use super::output;

/// What a server takes for a subject.
const SUB_BYTES: std::ops::RangeInclusive<usize> = 1..=256;

/// What a token says, and what signs it.
#[derive(Debug, clap::Args)]
#[command(next_line_help = true)]
pub(super) struct MakeTokenArgs {
    /// Whose token it is
    #[arg(long, value_name = "NAME")]
    sub: String,

    /// Rooms that may be joined, as a pattern: * stands for one or more characters; may be given
    /// several times
    #[arg(long, value_name = "PATTERN")]
    join: Vec<String>,

    /// Rooms that may be published to
    #[arg(long, value_name = "PATTERN")]
    publish: Vec<String>,

    /// Allow messages to all connections
    #[arg(long)]
    broadcast: bool,

    /// For how long the token is valid
    #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = duration)]
    valid_for: Duration,

    /// Audience that the token is for, where the server asks for one (--jwt-audience)
    #[arg(long, value_name = "NAME")]
    audience: Option<String>,

    /// Issuer that the token comes from, where the server asks for one (--jwt-issuer)
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,

    /// File with the secret that the server has, too; signs by HS256
    #[arg(long, env = "CORECAST_JWT_SECRET_FILE", value_name = "PATH")]
    jwt_secret_file: Option<PathBuf>,

    /// File with a private key in PEM (PKCS#8): RSA signs by RS256, EC by ES256, Ed25519 by EdDSA;
    /// goes before the environment variable of --jwt-secret-file
    #[arg(long, value_name = "PATH")]
    private_key_file: Option<PathBuf>,
}

/// Prints a token.
pub(super) fn print_token(args: &MakeTokenArgs) -> Result<(), Box<dyn Error>> {
    let claims = args.claims()?;
    let (algorithm, key) = args.key()?;
    let token = encode(&Header::new(algorithm), &claims, &key)
        .map_err(|_| "the key signs nothing; is it a private key of RSA, P-256 or Ed25519?")?;
    // What is printed is judged as a server judges it.
    corecast::check_token(&token, args.audience.as_deref())
        .map_err(|reason| format!("no server would accept this token: {reason}"))?;
    Ok(output::print(format!("{token}\n"))?)
}

impl MakeTokenArgs {
    fn key(&self) -> Result<(Algorithm, EncodingKey), String> {
        match (&self.jwt_secret_file, &self.private_key_file) {
            (Some(_), Some(_)) if is_typed("--jwt-secret-file") => {
                Err("--jwt-secret-file and --private-key-file each sign; give one of them"
                    .to_owned())
            }
            (_, Some(path)) => private_key(&read(path)?)
                .ok_or_else(|| format!("{} holds no private key in PEM (PKCS#8)", path.display())),
            (Some(path), None) => {
                let secret = corecast::read_token_secret(path)?;
                Ok((Algorithm::HS256, EncodingKey::from_secret(&secret)))
            }
            (None, None) => {
                Err("say what signs the token: --jwt-secret-file PATH, the file that the server \
                     has, or --private-key-file PATH"
                    .to_owned())
            }
        }
    }

    fn claims(&self) -> Result<Value, String> {
        if !SUB_BYTES.contains(&self.sub.len()) {
            return Err("--sub must have 1 to 256 bytes".to_owned());
        }
        for (flag, patterns) in [("--join", &self.join), ("--publish", &self.publish)] {
            let parsed = patterns.iter().map(|text| Pattern::parse(text));
            let set = parsed.collect::<Result<Vec<_>, _>>().and_then(NameSet::new);
            set.map_err(|reason| format!("{flag}: {reason}"))?;
        }
        if self.valid_for.is_zero() {
            return Err("--for must be more than 0, or the token expires at once".to_owned());
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let expires = now.checked_add(self.valid_for).ok_or("--for is longer than time lasts")?;
        // In whole seconds, and not before the time is over.
        let expires = expires.as_secs().saturating_add(u64::from(expires.subsec_nanos() > 0));
        let cast = json!({
            "join": self.join,
            "publish": self.publish,
            "broadcast": self.broadcast,
        });
        let mut claims = Map::from_iter([
            ("sub".to_owned(), self.sub.clone().into()),
            ("iat".to_owned(), now.as_secs().into()),
            ("exp".to_owned(), expires.into()),
            ("cast".to_owned(), cast),
        ]);
        for (name, value) in [("aud", &self.audience), ("iss", &self.issuer)] {
            claims.extend(value.iter().map(|value| (name.to_owned(), value.clone().into())));
        }
        Ok(claims.into())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

fn private_key(pem: &[u8]) -> Option<(Algorithm, EncodingKey)> {
    let rsa = || Some((Algorithm::RS256, EncodingKey::from_rsa_pem(pem).ok()?));
    let ec = || Some((Algorithm::ES256, EncodingKey::from_ec_pem(pem).ok()?));
    let ed = || Some((Algorithm::EdDSA, EncodingKey::from_ed_pem(pem).ok()?));
    rsa().or_else(ec).or_else(ed)
}
