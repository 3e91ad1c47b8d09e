//! Who gets in, and how: keys, tokens, certificates, pages, proxies.

use std::path::Path;
use std::time::Duration;

use super::Builder;
use crate::http::{KeyFileKind, is_token};
use crate::program::HttpApi;
use crate::runtime::{CertificateFiles, StartError};
use crate::values::{Anonymous, Rights};

impl Builder {
    /// A key without which `/v1` is closed, and connections may do only what
    /// [`Builder::anonymous`] allows: visible ASCII characters without spaces. It is for everything;
    /// for less there is [`Builder::api_key_for`]. May be called several times. What cannot be a key
    /// is an error of [`Builder::start`].
    pub fn api_key(self, key: impl AsRef<str>) -> Builder {
        self.api_key_for(key, Rights::all())
    }

    /// The same with what the key is for. A known key without the right that a request needs is
    /// answered with 403.
    pub fn api_key_for(mut self, key: impl AsRef<str>, rights: Rights) -> Builder {
        let added = self.settings.access.keys.add_api_key(key.as_ref(), rights);
        self.judged(added, |reason| StartError::ApiKey { reason })
    }

    /// The keys of a file, as for [`Builder::api_key`]: one per line; blank lines and those that
    /// begin with `#` are passed over. Behind a key and a space may stand what it is for, such as
    /// `publish,read`: [`Rights`]. May be called several times.
    ///
    /// The file is read here and now, and again by [`Server::reload_keys`]; what is wrong with it
    /// is an error of [`Builder::start`].
    ///
    /// [`Server::reload_keys`]: crate::Server::reload_keys
    pub fn api_key_file(mut self, path: impl AsRef<Path>) -> Builder {
        let added = self.settings.access.keys.add_file(path.as_ref(), KeyFileKind::ApiKeys);
        self.judged(added, |reason| StartError::ApiKey { reason })
    }

    /// A secret that tokens are signed by: JWTs (RFC 7519) by HS256, HS384 or HS512. It is all bytes
    /// of the file but for one end of a line behind them, and has at least 32, also for HS384 and
    /// HS512, where RFC 7518 section 3.2 asks for 48 and 64: so many random bytes cannot be guessed
    /// with any hash. A file that holds a public key or a certificate is refused.
    ///
    /// With a key for tokens, a client may bring one at the handshake; its claims say who it is
    /// (`sub`), until when it may stay (`exp`) and what it may do (`cast`). A token that is not
    /// valid is refused with 401, before [`Builder::authorize`] is asked. These methods may be
    /// called several times. Files are read here and now, and again by [`Server::reload_keys`]; what
    /// is wrong with them is an error of [`Builder::start`].
    ///
    /// ```no_run
    /// # use corecast::Server;
    /// let server = Server::builder()
    ///     .jwt_secret_file("/run/secrets/corecast")
    ///     .jwt_audience("chat")
    ///     .start()?;
    /// # Ok::<(), corecast::StartError>(())
    /// ```
    ///
    /// [`Server::reload_keys`]: crate::Server::reload_keys
    pub fn jwt_secret_file(self, path: impl AsRef<Path>) -> Builder {
        self.token_keys(path.as_ref(), KeyFileKind::Secret)
    }

    /// A public key in PEM that tokens are signed by: RSA of 2,048 bits or more for RS256, EC of
    /// the curve P-256 for ES256, or Ed25519 for EdDSA. See [`Builder::jwt_secret_file`].
    pub fn jwt_key_file(self, path: impl AsRef<Path>) -> Builder {
        self.token_keys(path.as_ref(), KeyFileKind::PublicKey)
    }

    /// The keys of a JSON Web Key Set (RFC 7517) that tokens are signed by, each with its `kid`.
    /// Those for other purposes and of other kinds are passed over. See
    /// [`Builder::jwt_secret_file`].
    ///
    /// A token that names its key (`kid`) is verified with the keys of that name, and where there is
    /// none, with those that have no name, as those of other files. One that names none is verified
    /// with up to 8 keys of its algorithm's family.
    pub fn jwks_file(self, path: impl AsRef<Path>) -> Builder {
        self.token_keys(path.as_ref(), KeyFileKind::KeySet)
    }

    fn token_keys(mut self, path: &Path, kind: KeyFileKind) -> Builder {
        let added = self.settings.access.keys.add_file(path, kind);
        self.judged(added, |reason| StartError::Token { reason })
    }

    /// An audience that tokens may be for: the claim `aud` must name one of these. Without any, a
    /// token that names an audience is refused (RFC 7519 section 4.1.3).
    pub fn jwt_audience(mut self, audience: impl Into<String>) -> Builder {
        self.settings.access.claims.audiences.push(audience.into());
        self
    }

    /// An issuer whose tokens are accepted: the claim `iss` must be one of these. Without any, it
    /// does not matter.
    pub fn jwt_issuer(mut self, issuer: impl Into<String>) -> Builder {
        self.settings.access.claims.issuers.push(issuer.into());
        self
    }

    /// How far the clocks of issuer and server may be apart: so long a token is accepted before its
    /// `nbf` and after its `exp`. Default: 60 s. A connection ends at the `exp` of its token; when
    /// that was over already at the handshake, at the end of the leeway.
    pub fn jwt_leeway(mut self, leeway: Duration) -> Builder {
        self.settings.access.claims.leeway = leeway;
        self
    }

    /// The name of a cookie that may carry a token. The places are looked at in this order, and the
    /// first that has something counts: `Authorization: Bearer`, this cookie, the parameter
    /// `access_token`, a subprotocol `corecast.token.<jwt>`.
    pub fn token_cookie(mut self, name: impl Into<String>) -> Builder {
        let name = name.into();
        let judged = match is_token(&name) {
            true => Ok(()),
            false => Err(format!(
                "{name:?} is no name of a cookie; write letters, digits, - and _, such as token"
            )),
        };
        self.settings.access.token_cookie = Some(name);
        self.judged(judged, |reason| StartError::Token { reason })
    }

    /// Speaks TLS, and nothing else, with this certificate: PEM files, the certificate first and
    /// then those up to a root, and its private key. May be called several times: a client is shown
    /// the certificate for the name that it asks for, or the first.
    ///
    /// The files are read by [`Builder::start`], whose error names the one that is wrong, and again
    /// when they change or [`Server::reload_certificates`] is called.
    ///
    /// ```no_run
    /// # use corecast::Server;
    /// let server = Server::builder()
    ///     .listen("0.0.0.0:443")
    ///     .tls("/etc/corecast/fullchain.pem", "/etc/corecast/privkey.pem")
    ///     .open()
    ///     .start()?;
    /// # Ok::<(), corecast::StartError>(())
    /// ```
    ///
    /// [`Server::reload_certificates`]: crate::Server::reload_certificates
    pub fn tls(mut self, certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Builder {
        let certificate = certificate.as_ref().to_owned();
        let key = key.as_ref().to_owned();
        self.settings.certificates.push(CertificateFiles { certificate, key });
        self
    }

    /// Lets pages of this origin open connections, beside those that came from the server's own host
    /// and port: `https://example.com`, where `*` stands for one or more characters, as in
    /// `https://*.example.com` or `http://localhost:*`; `*` alone for every origin. May be called
    /// several times. What cannot be an origin is an error of [`Builder::start`].
    ///
    /// Browsers tell in each handshake which page it comes from; a page of another origin is
    /// refused with 403. What is no browser need not say, and is not asked.
    pub fn allow_origin(mut self, pattern: impl AsRef<str>) -> Builder {
        let allowed = self.settings.access.origins.allow(pattern.as_ref());
        self.judged(allowed, |reason| StartError::Origin { reason })
    }

    /// Believes the proxies of this network when they say where a request came from: a network as in
    /// `10.0.0.0/8` or `2001:db8::/32`, an address, `loopback`, or `private` (RFC 1918 and RFC
    /// 4193). May be called several times. What cannot be a network is an error of
    /// [`Builder::start`].
    ///
    /// The client's address ([`Handshake::client_addr`]) is then the first one from the right in
    /// `X-Forwarded-For` or `Forwarded` (RFC 7239) that is no trusted proxy's. A proxy has to write
    /// one of the two fields, and to remove the other one: a request in which they disagree is
    /// refused with 400. Other fields, such as `X-Forwarded-Host`, change nothing.
    ///
    /// [`Handshake::client_addr`]: crate::Handshake::client_addr
    pub fn trusted_proxy(mut self, network: impl AsRef<str>) -> Builder {
        let added = self.settings.access.proxies.add(network.as_ref());
        self.judged(added, |reason| StartError::TrustedProxy { reason })
    }

    /// Whether each connection begins with a header of the PROXY protocol, version 1 or 2, which
    /// says where it came from. Only proxies of [`Builder::trusted_proxy`] may connect then, and
    /// connections without the header are refused. Default: no.
    pub fn proxy_protocol(mut self, is_spoken: bool) -> Builder {
        self.settings.proxy_protocol = is_spoken;
        self
    }

    /// What connections may do that are not known: that brought neither an API key nor a token, and
    /// that [`Builder::authorize`] gave no claims. Default: everything, or nothing once there are
    /// keys of either kind and no `authorize`. They are connected in any case, and hear broadcasts as
    /// every connection does: what is not for all belongs in a room.
    pub fn anonymous(mut self, anonymous: Anonymous) -> Builder {
        self.settings.anonymous = Some(anonymous);
        self
    }

    /// Who may use the HTTP API, `/v1`. Default: [`HttpApi::keys`].
    pub fn http_api(mut self, api: HttpApi) -> Builder {
        (self.settings.access.api, self.program.api_rule) = api.into_parts();
        self
    }

    /// Starts without keys on an address that other machines can reach, too. Whatever reaches it may
    /// do everything then, and the log warns of what is open. Without this the log warns as well when
    /// a proxy makes a server on loopback known that asks for no key. With keys it changes nothing.
    pub fn open(mut self) -> Builder {
        self.settings.open = true;
        self
    }
}
