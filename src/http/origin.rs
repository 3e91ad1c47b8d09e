//! Which web pages may open a connection.

use corecast_shards::Pattern;

use super::Host;

/// The origins that are allowed beside the server's own host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins(Vec<Pattern>);

/// The pattern of every origin, of `null` and of what is none.
const ALL: &str = "*";

/// The origin of a page that has none (RFC 6454 section 7).
const NULL: &str = "null";

impl Origins {
    /// Adds a pattern: an origin as browsers send it, in which `*` stands for one or more
    /// characters. `*` alone allows every origin, `null` those that have none.
    pub(crate) fn allow(&mut self, pattern: &str) -> Result<(), String> {
        let pattern = pattern.trim();
        // A star may stand for a port, and is a legal character of a name.
        let tried = pattern.replace(":*", ":1");
        if ![ALL, NULL].contains(&pattern) && Origin::parse(&tried).is_none() {
            return Err(format!(
                "{pattern:?} is no origin; write a scheme and a host, such as https://example.com, \
                 https://*.example.com or http://localhost:*"
            ));
        }
        let whole = Origin::parse(pattern).map_or_else(|| pattern.to_lowercase(), Origin::to_text);
        self.0.push(Pattern::parse(&whole)?);
        Ok(())
    }

    /// A pattern that lets in pages of hosts that belong to no one owner: all of them, those without
    /// a host, or those of hosts whose names end in less than a domain that is written out.
    pub(crate) fn widest(&self) -> Option<&str> {
        let is_wide = |pattern: &str| {
            let (_, host) = pattern.split_once("://").unwrap_or(("", "*"));
            // A port is a star or a number, and ends no name.
            let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
            let behind = host.rsplit_once('*').map(|(_, behind)| behind);
            behind.is_some_and(|behind| !behind.starts_with('.') || !behind[1..].contains('.'))
        };
        self.0.iter().map(Pattern::as_str).find(|pattern| is_wide(pattern))
    }

    /// Whether a page of this origin may reach the server under this name, over TLS or not.
    pub(crate) fn admit(&self, origin: &[u8], host: Host<'_>, tls: bool) -> bool {
        if self.0.iter().any(|pattern| pattern.as_str() == ALL) {
            return true;
        }
        let Ok(origin) = std::str::from_utf8(origin) else { return false };
        let allowed = |text: &str| self.0.iter().any(|pattern| pattern.matches(text));
        match Origin::parse(origin) {
            Some(parsed) => parsed.is_of(host, tls) || allowed(&parsed.to_text()),
            None => origin == NULL && allowed(NULL),
        }
    }
}

/// Where a page came from (RFC 6454 section 6.2).
#[derive(Clone, Copy)]
struct Origin<'a> {
    scheme: &'a str,
    host: Host<'a>,
}

impl<'a> Origin<'a> {
    fn parse(text: &'a str) -> Option<Origin<'a>> {
        let (scheme, host) = text.split_once("://")?;
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.*".contains(&byte);
        let host = Host::parse(host)?;
        (!scheme.is_empty() && scheme.bytes().all(is_legal)).then_some(Origin { scheme, host })
    }

    fn default_port(&self) -> Option<u16> {
        let is = |scheme: &str| self.scheme.eq_ignore_ascii_case(scheme);
        if is("https") { Some(443) } else { is("http").then_some(80) }
    }

    /// Whether a page of this origin came from this very host and port. A server that speaks TLS has
    /// sent its own pages over it. Otherwise the scheme is taken from the origin, because whether
    /// there was TLS is known only to the proxy in front.
    fn is_of(&self, host: Host<'_>, tls: bool) -> bool {
        if tls && !self.scheme.eq_ignore_ascii_case("https") {
            return false;
        }
        let Some(default) = self.default_port() else { return false };
        self.host.name.eq_ignore_ascii_case(host.name)
            && self.host.port.unwrap_or(default) == host.port.unwrap_or(default)
    }

    /// The origin in lower case, without a port that goes without saying.
    fn to_text(self) -> String {
        let port = self.host.port.filter(|port| Some(*port) != self.default_port());
        let port = port.map_or(String::new(), |port| format!(":{port}"));
        format!("{}://{}{port}", self.scheme, self.host.name).to_lowercase()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(patterns: &[&str], origin: &str, host: &str) -> bool {
        let mut origins = Origins::default();
        patterns.iter().for_each(|pattern| origins.allow(pattern).expect("legal"));
        origins.admit(origin.as_bytes(), Host::parse(host).expect("legal"), false)
    }

    #[test]
    fn a_page_of_the_same_host_and_port_is_ones_own() {
        for (origin, host) in [
            ("http://example.com", "example.com"),
            ("http://EXAMPLE.com:80", "example.COM"),
            ("http://example.com", "example.com:80"),
            ("https://example.com", "example.com:443"),
            ("https://example.com", "example.com"),
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://[::1]:8080", "[::1]:8080"),
        ] {
            assert!(admits(&[], origin, host), "{origin} at {host}");
        }
        for (origin, host) in [
            ("https://evil.example", "example.com"),
            ("http://example.com:8080", "example.com"),
            ("http://example.com", "example.com:8080"),
            ("https://example.com", "example.com:80"),
            ("http://example.com.evil.example", "example.com"),
            ("ftp://example.com", "example.com"),
            ("null", "example.com"),
            ("", "example.com"),
            ("example.com", "example.com"),
            ("http://example.com/", "example.com"),
            ("http://x@example.com", "example.com"),
        ] {
            assert!(!admits(&[], origin, host), "{origin} at {host}");
        }
    }

    #[test]
    fn ones_own_page_came_over_tls_where_that_is_spoken() {
        let admits = |origin: &str, host: &str| {
            Origins::default().admit(origin.as_bytes(), Host::parse(host).expect("legal"), true)
        };
        for (origin, host) in [
            ("https://example.com", "example.com"),
            ("https://example.com", "example.com:443"),
            ("https://example.com:443", "example.com"),
            ("HTTPS://example.com:8443", "example.com:8443"),
        ] {
            assert!(admits(origin, host), "{origin} at {host}");
        }
        for (origin, host) in [
            ("http://example.com", "example.com"),
            ("http://example.com:443", "example.com"),
            ("http://example.com:8443", "example.com:8443"),
            ("https://example.com", "example.com:80"),
        ] {
            assert!(!admits(origin, host), "{origin} at {host}");
        }
    }

    #[test]
    fn others_may_be_allowed_by_pattern() {
        let stars = ["https://*.example.com", "http://localhost:*"];
        for origin in
            ["https://a.example.com", "https://A.B.Example.com:443", "http://localhost:3000"]
        {
            assert!(admits(&stars, origin, "h"), "{origin}");
        }
        for origin in [
            "https://example.com",
            "https://.example.com:1",
            "http://a.example.com",
            "https://a.example.com:8443",
            "https://a.example.com.evil.example",
            "https://evil.example/.example.com",
            "https://evil.example:1.example.com",
            "https://evil.example?.example.com",
            "http://localhost",
            "null",
        ] {
            assert!(!admits(&stars, origin, "h"), "{origin}");
        }
        assert!(admits(&["https://example.com:443"], "https://example.com", "h"));
        assert!(admits(&["chrome-extension://abc"], "chrome-extension://abc", "h"));
        assert!(admits(&["null"], "null", "h") && !admits(&["https://*"], "null", "h"));
        for origin in ["https://any.example", "null", "garbage"] {
            assert!(admits(&["*"], origin, "h"), "{origin}");
        }
    }

    #[test]
    fn a_pattern_without_a_domain_is_wide() {
        for (pattern, expected) in [
            ("*", true),
            ("null", true),
            ("https://*", true),
            ("https://*:*", true),
            ("http*://*:8443", true),
            ("https://*.com", true),
            ("https://*example.com", true),
            ("https://example.*", true),
            ("https://*.example.com", false),
            ("https://*.example.com:*", false),
            ("http*://example.com", false),
            ("http://localhost:*", false),
            ("http://[::1]:*", false),
            ("http://[::1]", false),
        ] {
            let mut origins = Origins::default();
            origins.allow("https://example.com").expect("legal");
            origins.allow(pattern).expect("legal");
            assert_eq!(origins.widest(), expected.then_some(pattern), "{pattern}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in ["", "example.com", "https://", "https://a/b", "https://a b"] {
            let refused = Origins::default().allow(pattern).unwrap_err();
            assert!(refused.contains("https://example.com"), "{refused}");
        }
        let stars = |count| format!("https://{}example.com", "*.".repeat(count));
        assert_eq!(Origins::default().allow(&stars(8)), Ok(()));
        let refused = Origins::default().allow(&stars(9)).unwrap_err();
        assert!(refused.contains("at most 8"), "{refused}");
    }

    /// By trying all ways, this takes hours.
    #[test]
    fn an_origin_that_almost_matches_costs_no_search_of_all_ways() {
        let pattern = format!("https://{}example.com", "*.".repeat(8));
        let dots = format!("https://{}", ".".repeat(30_000));
        assert!(!admits(&[&pattern], &dots, "h"));
        assert!(admits(&[&pattern], &format!("{dots}example.com"), "h"));
    }
}
