//! What a server is told before it starts.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use corecast_shards::{Limits, RoomPolicies, SEND_BUFFER_BYTES, SlowPolicy};

use super::executor_trial::Trial;
use super::start_error::StartError;
use super::tls::CertificateFiles;
use crate::http::{AccessRules, ClaimRules};
use crate::program::ApiAccess;
use crate::values::{Anonymous, Executor};

/// All settings of a server, with their defaults.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The first one that this machine has is listened on.
    pub(crate) listen: Vec<SocketAddr>,
    /// None means one per core of the process's affinity mask.
    pub(crate) shards: Option<usize>,
    pub(crate) slow: SlowPolicy,
    /// What holds in rooms of certain names.
    pub(crate) rooms: RoomPolicies,
    pub(crate) limits: Limits,
    /// Where histories are kept for the next process.
    pub(crate) history_dir: Option<PathBuf>,
    /// Bytes that the kernel keeps for one connection that does not read; 0 leaves it to the kernel.
    pub(crate) send_buffer: usize,
    pub(crate) sends: Sends,
    pub(crate) executor: Executor,
    /// How [`Executor::Auto`] tries glommio without harm.
    pub(crate) trial: Option<Trial>,
    /// The certificates of a server that speaks TLS; without any it speaks clear text.
    pub(crate) certificates: Vec<CertificateFiles>,
    pub(crate) access: AccessRules,
    /// Whether each connection begins with the header of the PROXY protocol.
    pub(crate) proxy_protocol: bool,
    /// Whether everybody who can reach the server may do everything.
    pub(crate) open: bool,
    /// What connections may do that are not known; none means that it depends on keys.
    pub(crate) anonymous: Option<Anonymous>,
}

/// What is open to everybody.
struct Exposure {
    http_api: bool,
    connections: bool,
}

/// How bytes are handed to sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sends {
    /// Over an io_uring of each shard's own if the kernel gives one, else plainly; on
    /// [`Executor::Plain`] plainly in any case.
    #[default]
    Auto,
    /// Over an io_uring, several with one system call; without one the server does not start.
    Ring,
    /// One system call for each.
    Plain,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))],
            shards: None,
            slow: SlowPolicy::Disconnect,
            rooms: RoomPolicies::default(),
            limits: Limits::default(),
            history_dir: None,
            send_buffer: SEND_BUFFER_BYTES,
            sends: Sends::Auto,
            executor: Executor::Auto,
            trial: None,
            certificates: Vec::new(),
            access: AccessRules { deflate: true, ..AccessRules::default() },
            proxy_protocol: false,
            open: false,
            anonymous: None,
        }
    }
}

impl Settings {
    /// Refuses what could not work, in words that say what could.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        let exposed = self.listen.iter().find(|address| !is_loopback(address));
        if let (Some(&address), false) = (exposed, self.open) {
            let Exposure { http_api, connections } = self.exposure();
            if http_api || connections {
                return Err(StartError::Exposed { address, http_api, connections });
            }
        }
        if self.proxy_protocol && self.access.proxies.is_empty() {
            return Err(StartError::ProxyProtocol);
        }
        self.check_tokens().map_err(|reason| StartError::Token { reason })?;
        self.limits.check().map_err(|message| StartError::Limit { message })
    }

    /// What is said of tokens means nothing without a key for them.
    fn check_tokens(&self) -> Result<(), String> {
        let access = &self.access;
        let is_said = access.token_cookie.is_some() || access.claims != ClaimRules::default();
        if is_said && access.keys.known().tokens.is_empty() {
            return Err("there is no key for tokens, so that none is accepted; add \
                        --jwt-secret-file, --jwt-key-file or --jwks-file"
                .to_owned());
        }
        Ok(())
    }

    /// Whether all that a trusted proxy lets in is let in here, because nothing is asked for.
    fn is_open_to_proxies(&self) -> bool {
        !self.open && !self.access.proxies.is_empty() && self.is_exposed()
    }

    /// What is allowed, and may not be meant, in words for the operator.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let access = &self.access;
        let mut remarks = Vec::from_iter(self.remark_on_open().map(str::to_owned));
        remarks.extend(access.proxies.widest().map(|network| {
            format!(
                "--trusted-proxy {network} believes clients themselves: each may say any address, \
                 so that no limit per address holds; name the networks of your proxies alone"
            )
        }));
        let origin = access.token_cookie.as_ref().and_then(|_| access.origins.widest());
        remarks.extend(origin.map(|origin| {
            format!(
                "--allow-origin {origin} with --token-cookie: pages that are not yours listen, and \
                 speak, with the token in their visitor's cookie; name your pages alone"
            )
        }));
        if self.is_open_to_proxies() {
            remarks.push(
                "what the proxies of --trusted-proxy let in may do everything, because no key is \
                 configured; add one, or say --open if that is meant"
                    .to_owned(),
            );
        }
        remarks.extend(self.limits.remarks());
        remarks
    }

    /// What [`Settings::open`] lifts, or that it lifts nothing.
    fn remark_on_open(&self) -> Option<&'static str> {
        if !self.open {
            return None;
        }
        let Exposure { http_api, connections } = self.exposure();
        Some(match (http_api, connections) {
            (true, true) => {
                "the server is open: whatever reaches it may do everything, because no key is \
                 configured"
            }
            (true, false) => {
                "the server is open: whatever reaches it may use /v1, which publishes, closes \
                 connections and revokes, because no key is configured"
            }
            (false, true) => {
                "the server is open: whatever reaches it may connect, join, publish and broadcast, \
                 because no key is configured"
            }
            (false, false) if self.access.keys.known().are_none() => return None,
            (false, false) => {
                "--open has no effect, because there are keys: what clients without one may do is \
                 said by --anonymous"
            }
        })
    }
}

/// Whether only this machine reaches an address; IPv4 within IPv6 is IPv4.
fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

impl Settings {
    /// Who may do what on the address that is listened on.
    pub(crate) fn rules(&self, address: SocketAddr) -> AccessRules {
        let loopback_only =
            is_loopback(&address) && !self.open && self.access.keys.known().are_none();
        let anonymous = self.anonymous.unwrap_or_else(|| self.anonymous_by_default());
        let tls = !self.certificates.is_empty();
        let watches_for_proxies =
            loopback_only && self.access.proxies.is_empty() && self.is_exposed();
        // Each server of these settings counts for itself.
        let (refusals, proxy_seen) = (Arc::default(), Arc::default());
        AccessRules {
            loopback_only,
            watches_for_proxies,
            proxy_seen,
            anonymous,
            tls,
            refusals,
            ..self.access.clone()
        }
    }

    /// A server with keys is closed for those who bring none, unless the program looks at each.
    fn anonymous_by_default(&self) -> Anonymous {
        match self.access.keys.known().are_none() || self.access.program_authorizes {
            true => Anonymous::all(),
            false => Anonymous::none(),
        }
    }

    fn is_exposed(&self) -> bool {
        let Exposure { http_api, connections } = self.exposure();
        http_api || connections
    }

    /// What every client that reaches the server may do, and that no setting has decided.
    fn exposure(&self) -> Exposure {
        let access = &self.access;
        Exposure {
            http_api: access.keys.known().are_none() && access.api == ApiAccess::Keys,
            connections: access.keys.known().are_none()
                && self.anonymous.is_none()
                && !access.program_authorizes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::Rights;

    #[test]
    fn nobody_is_exposed_by_accident() {
        let mut settings =
            Settings { listen: vec![([0, 0, 0, 0], 80).into()], ..Settings::default() };
        assert!(matches!(settings.check(), Err(StartError::Exposed { .. })));
        settings.open = true;
        assert!(settings.check().is_ok());
        settings.open = false;
        settings.access.keys.add_api_key("secret", Rights::all()).unwrap();
        assert!(settings.check().is_ok());
        assert_eq!(settings.rules(settings.listen[0]).anonymous, Anonymous::none());

        settings.access = AccessRules { program_authorizes: true, ..AccessRules::default() };
        let refused = settings.check().expect_err("everybody may use /v1").to_string();
        assert!(
            refused.contains("http_api") && !refused.contains("Builder::authorize"),
            "{refused}"
        );
        settings.access.api = ApiAccess::Off;
        assert!(settings.check().is_ok());
        settings.access.program_authorizes = false;
        let refused = settings.check().expect_err("everybody may connect").to_string();
        assert!(
            refused.contains("Builder::authorize") && !refused.contains("http_api"),
            "{refused}"
        );
        settings.anonymous = Some(Anonymous::all());
        assert!(settings.check().is_ok(), "it was decided");
    }

    #[test]
    fn a_trusted_proxy_exposes_what_asks_for_no_key() {
        let is_open = |settings: &Settings| {
            let rules = settings.rules(settings.listen[0]);
            (settings.is_open_to_proxies(), rules.watches_for_proxies)
        };
        let mut settings = Settings::default();
        assert_eq!(is_open(&settings), (false, true), "none was named");
        let program = AccessRules { api: ApiAccess::Off, ..settings.access.clone() };
        let access = AccessRules { program_authorizes: true, ..program };
        let decided = Settings { access, ..Settings::default() };
        assert_eq!(is_open(&decided), (false, false), "the program decides about all");
        settings.access.proxies.add("loopback").unwrap();
        assert_eq!(is_open(&settings), (true, false));
        settings.open = true;
        assert_eq!(is_open(&settings), (false, false), "it was said");
        settings.open = false;
        settings.access.keys.add_api_key("secret", Rights::all()).unwrap();
        assert_eq!(is_open(&settings), (false, false), "there is a key");
    }

    #[test]
    fn what_open_lifts_is_said_by_part() {
        let mut settings = Settings { open: true, ..Settings::default() };
        let said = |settings: &Settings| settings.remarks().join("\n");
        assert!(said(&settings).contains("may do everything"), "{}", said(&settings));
        settings.anonymous = Some(Anonymous::none());
        assert!(said(&settings).contains("may use /v1"), "{}", said(&settings));
        settings.anonymous = None;
        settings.access.program_authorizes = true;
        assert!(said(&settings).contains("may use /v1"), "{}", said(&settings));
        settings.access.api = ApiAccess::Off;
        assert_eq!(said(&settings), "", "the program has decided about both");
        settings.access.program_authorizes = false;
        assert!(said(&settings).contains("may connect"), "{}", said(&settings));
        settings.access.keys.add_api_key("0123456789abcdef", Rights::all()).unwrap();
        assert!(said(&settings).contains("--open has no effect"), "{}", said(&settings));
        settings.open = false;
        assert_eq!(said(&settings), "");
    }

    #[test]
    fn what_lets_in_more_than_may_be_meant_is_said() {
        let mut settings = Settings::default();
        settings.access.keys.add_api_key("0123456789abcdef", Rights::all()).unwrap();
        settings.access.origins.allow("*").unwrap();
        settings.access.proxies.add("private").unwrap();
        assert_eq!(settings.remarks(), [""; 0]);
        settings.access.token_cookie = Some("t".to_owned());
        settings.access.proxies.add("0.0.0.0/0").unwrap();
        let said = settings.remarks();
        let [proxy, origin] = said.as_slice() else { panic!("one line each: {said:?}") };
        assert!(proxy.contains("--trusted-proxy 0.0.0.0/0"), "{proxy}");
        assert!(origin.contains("--allow-origin *"), "{origin}");
    }

    #[test]
    fn loopback_is_loopback_within_ipv6() {
        for (listen, is_near) in [
            ("127.0.0.1:80", true),
            ("[::1]:80", true),
            ("[::ffff:127.0.0.1]:80", true),
            ("[::ffff:10.0.0.1]:80", false),
            ("[::]:80", false),
        ] {
            let listen = listen.parse().unwrap();
            let settings = Settings { listen: vec![listen], ..Settings::default() };
            assert_eq!(settings.check().is_ok(), is_near, "{listen}");
            assert_eq!(settings.rules(listen).loopback_only, is_near, "{listen}");
        }
    }

    #[test]
    fn what_is_said_of_tokens_needs_a_key_for_them() {
        let mut settings = Settings::default();
        settings.access.claims.audiences.push("chat".to_owned());
        let refused = settings.check().expect_err("no token would be accepted").to_string();
        assert!(refused.contains("--jwt-secret-file"), "{refused}");
        settings.access = AccessRules { token_cookie: Some("t".into()), ..AccessRules::default() };
        assert!(settings.check().is_err());
    }

    #[test]
    fn impossible_limits_are_named() {
        let mut settings = Settings::default();
        settings.limits.message_bytes = 0;
        let refused = settings.check().expect_err("no message would fit").to_string();
        assert!(refused.contains("--max-message"), "{refused}");
    }
}
