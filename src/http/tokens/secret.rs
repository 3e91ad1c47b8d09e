//! What may be a secret that tokens are signed by.
//!
//! A public key that is taken for a secret lets in all that know it. Public keys come in many forms,
//! and the wrong one of two flags is soon typed, so that all of these forms are refused.

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

/// Bytes that a secret has at least, for HS256, HS384 and HS512 alike. RFC 7518 section 3.2 asks for
/// as many as the hash has, which are 48 and 64 for the latter two. This is less on purpose: 32
/// random bytes cannot be guessed with any hash, and one secret fits all three.
const SECRET_BYTES_MIN: usize = 32;

/// The secret in a file: all of its bytes, but for one end of a line behind them.
pub(crate) fn of_file(bytes: &[u8]) -> Result<&[u8], String> {
    // The last byte of a key in binary may look like the end of a line.
    refuse_keys(bytes)?;
    let secret = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
    check(secret).map(|()| secret)
}

/// Refuses what can be guessed, and what is another kind of key.
pub(super) fn check(secret: &[u8]) -> Result<(), String> {
    refuse_keys(secret)?;
    match secret.len() {
        SECRET_BYTES_MIN.. => Ok(()),
        bytes => Err(format!(
            "the secret has {bytes} bytes; it must have at least {SECRET_BYTES_MIN}, or it can be \
             guessed: openssl rand -hex 32"
        )),
    }
}

/// Refuses keys of pairs. Nothing of them is shown: they may be private.
fn refuse_keys(bytes: &[u8]) -> Result<(), String> {
    let form = match is_der(bytes) {
        true => Some("in binary (DER); write it as PEM and give that with --jwt-key-file"),
        false => form_of_text(&plain(bytes)),
    };
    form.map_or(Ok(()), |form| Err(format!("it holds no secret, but a key {form}")))
}

/// The text of a file in ASCII: one in UTF-16 has a zero beside each of these characters, and
/// either may begin with a byte order mark.
fn plain(bytes: &[u8]) -> String {
    bytes.iter().filter(|byte| (1..128).contains(*byte)).map(|byte| char::from(*byte)).collect()
}

/// The form of the key that a text holds anywhere, and what to do with it.
fn form_of_text(text: &str) -> Option<&'static str> {
    let words: Vec<_> = text.split_ascii_whitespace().collect();
    let is_ssh = |pair: &[&str]| {
        let kinds = ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"];
        kinds.iter().any(|kind| pair[0].starts_with(kind)) && pair[1].starts_with("AAAA")
    };
    if text.contains("-----BEGIN ") || text.contains("---- BEGIN ") {
        Some("in PEM; give the public key with --jwt-key-file")
    } else if text.contains("\"kty\"") || serde_json::from_str::<Map<String, Value>>(text).is_ok() {
        Some("set in JSON; give it with --jwks-file")
    } else if words.windows(2).any(is_ssh) {
        Some("of SSH; write it as PEM (ssh-keygen -e -m PKCS8) and give that with --jwt-key-file")
    } else if is_der_in_base64(&words.concat()) {
        Some(
            "in base64 without its PEM lines; put -----BEGIN PUBLIC KEY----- before it and \
             -----END PUBLIC KEY----- behind it and give that with --jwt-key-file",
        )
    } else {
        None
    }
}

fn is_der_in_base64(text: &str) -> bool {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let decode = |alphabet| GeneralPurpose::new(alphabet, config).decode(text);
    [&STANDARD, &URL_SAFE]
        .into_iter()
        .any(|alphabet| decode(alphabet).is_ok_and(|der| is_der(&der)))
}

/// Whether these bytes are what keys and certificates look like (X.690 section 8): one SEQUENCE that
/// is as long as it says, and begins with another one or with a number. Of random bytes one in
/// millions is.
fn is_der(bytes: &[u8]) -> bool {
    const SEQUENCE: u8 = 0x30;
    const INTEGER: u8 = 0x02;
    let (len, content) = match bytes {
        [SEQUENCE, len @ 0..=0x7f, content @ ..] => (usize::from(*len), content),
        [SEQUENCE, 0x81, len, content @ ..] => (usize::from(*len), content),
        [SEQUENCE, 0x82, high, low, content @ ..] => {
            (usize::from(u16::from_be_bytes([*high, *low])), content)
        }
        _ => return false,
    };
    len == content.len() && matches!(content, [SEQUENCE | INTEGER, ..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD};

    /// Public keys of pairs that exist nowhere else: Ed25519 and P-256, without their PEM lines.
    const ED25519: &str = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
    const P256: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEMKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv\
                        7D7gS2XpJFbZiItSs3m9+9Ue6GnvHw/GW2ZZaVtszggXIw==";

    fn refused(bytes: &[u8]) -> String {
        of_file(bytes).expect_err("it is a key")
    }

    #[test]
    fn a_public_key_is_no_secret_in_any_form() {
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{P256}\n-----END PUBLIC KEY-----\n");
        let jwks =
            r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwI"}]}"#;
        let ssh = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBm/RAlphM3+hUG6wWfcO5bIUIaqMLa2ywxcOK1wMWbh a@b\n";
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        let der = BASE64.decode(ED25519).unwrap();
        for (bytes, flag) in [
            (pem.clone().into_bytes(), "--jwt-key-file"),
            (format!("Bag Attributes\n    localKeyID: 01\n{pem}").into_bytes(), "--jwt-key-file"),
            (format!("\u{feff}{pem}").into_bytes(), "--jwt-key-file"),
            (utf16(&format!("\u{feff}{pem}")), "--jwt-key-file"),
            (
                b"---- BEGIN SSH2 PUBLIC KEY ----\nAAAAC3NzaC1lZDI1NTE5AAAAIBm".to_vec(),
                "--jwt-key-file",
            ),
            (jwks.as_bytes().to_vec(), "--jwks-file"),
            (format!("\u{feff} {jwks}").into_bytes(), "--jwks-file"),
            (format!("[{jwks}]").into_bytes(), "--jwks-file"),
            (br#"{"a": "JSON object of 32 bytes or more"}"#.to_vec(), "--jwks-file"),
            (ssh.as_bytes().to_vec(), "--jwt-key-file"),
            (format!("no-pty,command=\"x\" {ssh}").into_bytes(), "--jwt-key-file"),
            (der.clone(), "--jwt-key-file"),
            (BASE64.decode(P256).unwrap(), "--jwt-key-file"),
            (ED25519.as_bytes().to_vec(), "--jwt-key-file"),
            (format!("{}\n{}\n", &P256[..64], &P256[64..]).into_bytes(), "--jwt-key-file"),
            (URL_SAFE_NO_PAD.encode(&der).into_bytes(), "--jwt-key-file"),
        ] {
            let refused = refused(&bytes);
            assert!(refused.contains(flag), "{refused}");
            assert!(!refused.contains("AAAA") && !refused.contains("MCow"), "{refused}");
        }
    }

    #[test]
    fn a_key_in_binary_that_ends_like_a_line_is_one() {
        let mut der = BASE64.decode(ED25519).unwrap();
        *der.last_mut().unwrap() = b'\n';
        assert!(refused(&der).contains("DER"));
    }

    #[test]
    fn what_only_resembles_a_key_is_a_secret() {
        for secret in [
            "{3F2504E0-4F89-11D3-9A0C-0305E82C3301}",
            "ssh-keys are not what this pass phrase is",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZu",
            "0*12345678901234567890123456789012345678901234567890123456789",
        ] {
            assert_eq!(of_file(secret.as_bytes()), Ok(secret.as_bytes()), "{secret}");
            assert_eq!(of_file(format!("{secret}\r\n").as_bytes()), Ok(secret.as_bytes()));
        }
    }
}
