//! The flags about tokens.

use std::path::PathBuf;
use std::time::Duration;

use corecast::Builder;
use corecast_load::units::parse::duration;

/// Which tokens are accepted. Each flag but the last two has a list with commas between, or is given
/// several times.
#[derive(Debug, clap::Args)]
pub(super) struct TokenArgs {
    /// File with a secret of at least 32 bytes that tokens are signed by (HS256, HS384, HS512)
    ///
    /// The secret is all bytes of the file, but for one end of a line behind them. 32 random bytes
    /// are enough for each hash, though RFC 7518 asks for 48 and 64 for the latter two. SIGHUP reads
    /// it again, as all files of keys; one that is broken then keeps the keys that it had. Several are
    /// separated by commas, or the flag is given several times.
    #[arg(
        long = "jwt-secret-file",
        env = "CORECAST_JWT_SECRET_FILE",
        value_name = "PATH",
        value_delimiter = ','
    )]
    secret_files: Vec<PathBuf>,

    /// File with a public key in PEM that tokens are signed by: RSA (RS256), EC of the curve P-256
    /// (ES256) or Ed25519 (EdDSA)
    ///
    /// Several are separated by commas, or the flag is given several times.
    #[arg(
        long = "jwt-key-file",
        env = "CORECAST_JWT_KEY_FILE",
        value_name = "PATH",
        value_delimiter = ','
    )]
    key_files: Vec<PathBuf>,

    /// File with a JSON Web Key Set whose keys tokens are signed by
    ///
    /// Several are separated by commas, or the flag is given several times.
    #[arg(
        long = "jwks-file",
        env = "CORECAST_JWKS_FILE",
        value_name = "PATH",
        value_delimiter = ','
    )]
    key_set_files: Vec<PathBuf>,

    /// Audience that a token must be for (claim aud); without this flag it must name none
    ///
    /// Several are separated by commas, or the flag is given several times.
    #[arg(
        long = "jwt-audience",
        env = "CORECAST_JWT_AUDIENCE",
        value_name = "NAME",
        value_delimiter = ','
    )]
    audiences: Vec<String>,

    /// Issuer that a token must come from (claim iss); without this flag it does not matter
    ///
    /// Several are separated by commas, or the flag is given several times.
    #[arg(
        long = "jwt-issuer",
        env = "CORECAST_JWT_ISSUER",
        value_name = "NAME",
        value_delimiter = ','
    )]
    issuers: Vec<String>,

    /// How far the clocks of issuer and server may be apart [default: 60s]
    #[arg(long = "jwt-leeway", env = "CORECAST_JWT_LEEWAY", value_name = "TIME", value_parser = duration)]
    leeway: Option<Duration>,

    /// Name of a cookie that may carry a token
    ///
    /// A token is looked for in Authorization: Bearer, in this cookie, in the parameter access_token
    /// and in a subprotocol corecast.token.JWT; the first that is there counts.
    #[arg(long = "token-cookie", env = "CORECAST_TOKEN_COOKIE", value_name = "NAME")]
    cookie: Option<String>,
}

impl TokenArgs {
    /// Whether tokens are accepted at all.
    pub(super) fn have_keys(&self) -> bool {
        let TokenArgs { secret_files, key_files, key_set_files, .. } = self;
        [secret_files, key_files, key_set_files].iter().any(|files| !files.is_empty())
    }

    /// A server that accepts these tokens.
    pub(super) fn apply(&self, builder: Builder) -> Builder {
        let builder = self.secret_files.iter().fold(builder, Builder::jwt_secret_file);
        let builder = self.key_files.iter().fold(builder, Builder::jwt_key_file);
        let builder = self.key_set_files.iter().fold(builder, Builder::jwks_file);
        let builder = self.audiences.iter().fold(builder, Builder::jwt_audience);
        let builder = self.issuers.iter().fold(builder, Builder::jwt_issuer);
        let builder = self.leeway.into_iter().fold(builder, Builder::jwt_leeway);
        self.cookie.iter().fold(builder, Builder::token_cookie)
    }
}
