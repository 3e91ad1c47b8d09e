//! What stands behind `Bearer` in the header `Authorization`.

/// The token of `Bearer …` (RFC 6750 section 2.1), whatever its bytes are; none for another scheme.
pub(crate) fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let is_blank = |byte: &u8| b" \t".contains(byte);
    let end = authorization.iter().position(is_blank).unwrap_or(authorization.len());
    let (scheme, token) = authorization.split_at(end);
    scheme.eq_ignore_ascii_case(b"bearer").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_stands_behind_its_scheme_and_a_blank() {
        for (value, expected) in [
            (&b"Bearer x"[..], Some(&b"x"[..])),
            (b"bEARER\t  x ", Some(b"x")),
            (b"Bearer x y", Some(b"x y")),
            (b"Bearer \xff", Some(b"\xff")),
            (b"Bearer", Some(b"")),
            (b"Bearerx", None),
            (b"Basic x", None),
            (b" Bearer x", None),
            (b"", None),
        ] {
            assert_eq!(bearer(value), expected, "{value:?}");
        }
    }
}
