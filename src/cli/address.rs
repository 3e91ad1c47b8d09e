//! Where a server listens, as people write it.

/// Reads `HOST:PORT`; a port alone is one of this machine's own address.
pub(super) fn address(text: &str) -> Result<String, String> {
    if text.parse::<u16>().is_ok() {
        return Ok(format!("127.0.0.1:{text}"));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(format!("add a port: {text}:8080"));
    };
    if host.is_empty() && port.parse::<u16>().is_ok() {
        return Err(format!(
            "write 127.0.0.1:{port} for this machine alone, or 0.0.0.0:{port} for all that can \
             reach it"
        ));
    }
    if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
        return Err("write an IPv6 address in brackets: [::1]:8080".to_owned());
    }
    match port.parse::<u16>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => {
            Err("a port is a number up to 65535; write HOST:PORT, such as 127.0.0.1:8080"
                .to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for text in ["127.0.0.1:0", "localhost:8081", "[::1]:80", "example.org:443"] {
            assert_eq!(address(text).as_deref(), Ok(text));
        }
        assert_eq!(address("8081").as_deref(), Ok("127.0.0.1:8081"));
        let rows = [
            (":8081", "127.0.0.1:8081 for this machine alone, or 0.0.0.0:8081"),
            ("::1:8081", "brackets"),
            ("localhost", "localhost:8080"),
            ("localhost:", "HOST:PORT"),
            ("localhost:http", "HOST:PORT"),
            ("1.2.3.4:99999", "up to 65535"),
            ("", "port"),
        ];
        for (text, advice) in rows {
            let error = address(text).unwrap_err();
            assert!(error.contains(advice), "{text}: {error}");
        }
    }
}
