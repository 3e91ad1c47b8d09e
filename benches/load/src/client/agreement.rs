//! Whether a server's answer agrees to what was offered: compression without context (RFC 7692).

/// The value of `Sec-WebSocket-Extensions` in the request.
pub(crate) const OFFER: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

const NAME: &str = "permessage-deflate";

/// Why these values of the field in an answer are refused, with what to do; none when they agree.
pub(crate) fn refusal<'a>(values: impl Iterator<Item = &'a [u8]>) -> Option<String> {
    let values: Vec<_> = values.map(String::from_utf8_lossy).collect();
    let list = values.join(", ");
    let mut extensions = list.split(',').map(str::trim).filter(|it| !it.is_empty());
    let Some(extension) = extensions.next() else {
        return Some(
            "the server does not compress (its answer has no permessage-deflate); switch that on \
             there, as corecast serve --deflate on does, or leave out --deflate"
                .to_owned(),
        );
    };
    let mut parts = extension.split(';').map(str::trim);
    if parts.next() != Some(NAME) || extensions.next().is_some() {
        return Some(format!("the server agrees to extensions that were not offered ({list})"));
    }
    let mut seen = Vec::new();
    for parameter in parts {
        if !is_legal(parameter, &seen) {
            return Some(format!("the server agrees to {NAME} with what is not legal ({list})"));
        }
        seen.push(name(parameter));
    }
    (!seen.contains(&"server_no_context_takeover")).then(|| {
        "the server keeps its context from one message to the next (its answer has no \
         server_no_context_takeover), for which each connection would need an inflater; let it do \
         without, or leave out --deflate"
            .to_owned()
    })
}

fn name(parameter: &str) -> &str {
    parameter.split('=').next().unwrap_or_default().trim()
}

/// Whether an answer to the offer may have it beside others (section 7.1). A window of ours may not be
/// limited, because we did not say that it can be (section 7.1.2.2).
fn is_legal(parameter: &str, seen: &[&str]) -> bool {
    if seen.contains(&name(parameter)) {
        return false;
    }
    match (name(parameter), parameter.split_once('=')) {
        ("server_no_context_takeover" | "client_no_context_takeover", None) => true,
        ("server_max_window_bits", Some((_, value))) => {
            let value = value.trim();
            let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            let bits = ["8", "9", "10", "11", "12", "13", "14", "15"];
            bits.contains(&quoted.unwrap_or(value))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Option<String> {
        refusal(values.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn what_was_offered_is_agreed_to() {
        for answer in [
            OFFER,
            "permessage-deflate; server_no_context_takeover",
            "permessage-deflate;server_no_context_takeover;server_max_window_bits=12",
            "permessage-deflate; server_max_window_bits = \"8\"; server_no_context_takeover",
        ] {
            assert_eq!(of(&[answer]), None, "{answer}");
        }
        assert_eq!(of(&["", OFFER]), None);
    }

    #[test]
    fn anything_else_is_refused_with_what_to_do() {
        let rows: [(&[&str], &str); 14] = [
            (&[], "--deflate on"),
            (&[""], "--deflate on"),
            (&["permessage-deflate"], "server_no_context_takeover), for which"),
            (&["permessage-deflate; client_no_context_takeover"], "leave out --deflate"),
            (&["x-webkit-deflate-frame"], "not offered"),
            (&[OFFER, OFFER], "not offered"),
            (&["permessage-deflate; server_no_context_takeover, x"], "not offered"),
            (&["permessage-deflate; server_no_context_takeover; unknown"], "not legal"),
            (&["permessage-deflate; server_no_context_takeover=1"], "not legal"),
            (
                &["permessage-deflate; server_no_context_takeover; server_no_context_takeover"],
                "not legal",
            ),
            (
                &["permessage-deflate; server_no_context_takeover; client_max_window_bits=9"],
                "not legal",
            ),
            (
                &["permessage-deflate; server_no_context_takeover; server_max_window_bits"],
                "not legal",
            ),
            (
                &["permessage-deflate; server_no_context_takeover; server_max_window_bits=16"],
                "not legal",
            ),
            (
                &["permessage-deflate; server_no_context_takeover; server_max_window_bits=09"],
                "not legal",
            ),
        ];
        for (answer, part) in rows {
            let why = of(answer).unwrap_or_else(|| panic!("{answer:?} is agreed to"));
            assert!(why.contains(part), "{answer:?}: {why}");
        }
    }
}
