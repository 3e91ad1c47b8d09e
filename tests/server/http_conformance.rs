//! Proves what the RFCs of HTTP say of single requests, one row each, with its section: how they are
//! answered, and whether their connection serves another one. Nothing is answered twice, and what
//! stands behind the last request of a connection is not answered at all.

use crate::support::{Raw, Server, parse_head};

/// Behind each row's request. Whether it is answered shows whether the connection went on.
const LAST: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const GET: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
const MESSAGE: &str = r#"{"event":"e"}"#;

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    GoesOn,
    Ends,
}
use Then::{Ends, GoesOn};

/// The section and what is asked, the request, the statuses of its answers.
type Row<'a> = (&'a str, String, &'a [u16], Then);

fn check(rows: &[Row<'_>]) {
    let server = Server::start(&[]);
    for (why, request, statuses, then) in rows {
        let mut raw = Raw::dial(server.address());
        raw.write(format!("{request}{LAST}").as_bytes());
        for (nth, status) in statuses.iter().enumerate() {
            let answer = match nth == 0 && request.starts_with("HEAD ") {
                true => parse_head(&raw.head()),
                false => raw.response(),
            };
            assert_eq!(answer.status, *status, "{why}: {answer:?}");
        }
        if *then == GoesOn {
            assert_eq!(raw.response().status, 200, "{why}: the connection goes on");
        }
        assert_eq!(raw.read_to_end(), b"", "{why}: behind the last answer");
    }
}

fn line(line: &str) -> String {
    format!("{line}\r\nHost: localhost\r\n\r\n")
}

fn get(fields: &str) -> String {
    format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
}

fn host(field: &str) -> String {
    format!("GET /healthz HTTP/1.1\r\n{field}\r\n")
}

fn post(fields: &str, body: &str) -> String {
    format!(
        "POST /v1/broadcast HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         {fields}\r\n{body}"
    )
}

fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked\r\n", body)
}

/// The message as one chunk with this text for its size, and the last chunk.
fn sized(size: &str) -> String {
    chunked(&format!("{size}{MESSAGE}\r\n0\r\n\r\n"))
}

/// The message as one chunk, and behind it this.
fn trailed(end: &str) -> String {
    chunked(&format!("d\r\n{MESSAGE}{end}"))
}

#[test]
fn lines_end_and_begin_as_rfc_9112_says() {
    check(&[
        ("2.2 empty lines in front", format!("\r\n\r\n{GET}"), &[200], GoesOn),
        ("2.2 an empty line between", format!("{GET}\r\n{GET}"), &[200, 200], GoesOn),
        ("2.2 bare LF", GET.replace("\r\n", "\n"), &[200], GoesOn),
        ("2.2 bare CR in the line", line("GET /healthz\r HTTP/1.1"), &[400], Ends),
        ("2.2 bare CR in a field", get("X: a\rb\r\n"), &[400], Ends),
        ("2.2 two CR", get("X: a\r\r\n"), &[400], Ends),
        ("2.2 LF CR", GET.replace("\r\n", "\n\r"), &[400], Ends),
        ("2.2 space before the fields", host(" Host: localhost\r\n"), &[400], Ends),
        ("2.3 another version", line("GET /healthz HTTP/2.0"), &[400], Ends),
        ("2.3 an older version", line("GET /healthz HTTP/0.9"), &[400], Ends),
        ("2.3 its name has a case", line("GET /healthz http/1.1"), &[400], Ends),
        ("3 no version", line("GET /healthz"), &[400], Ends),
        ("3 two spaces", line("GET  /healthz HTTP/1.1"), &[400], Ends),
        ("3 a space behind", line("GET /healthz HTTP/1.1 "), &[400], Ends),
        ("3 a space in front", line(" GET /healthz HTTP/1.1"), &[400], Ends),
        ("9113 3.4 HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), &[400], Ends),
    ]);
}

#[test]
fn targets_have_the_forms_of_rfc_9112_section_3_2() {
    let only = |target: &str| format!("GET {target} HTTP/1.1\r\n\r\n");
    check(&[
        ("3.2.1 a path", line("GET healthz HTTP/1.1"), &[400], Ends),
        ("3.2.2 no path", line("GET http://localhost HTTP/1.1"), &[200], GoesOn),
        ("3.2.2 Host is needed", only("http://localhost/healthz"), &[400], Ends),
        ("3.2.2 no host", line("GET http:///healthz HTTP/1.1"), &[400], Ends),
        ("9110 4.2.4 a user", line("GET http://a@localhost/healthz HTTP/1.1"), &[400], Ends),
        ("3.2.2 another scheme", line("GET ftp://localhost/healthz HTTP/1.1"), &[400], Ends),
        ("3.2.3 for proxies", line("CONNECT localhost:80 HTTP/1.1"), &[400], Ends),
        ("3.2.3 of CONNECT alone", line("GET localhost:80 HTTP/1.1"), &[400], Ends),
        ("3.2.4 of the server", line("OPTIONS * HTTP/1.1"), &[404], GoesOn),
        ("3.2.4 of OPTIONS alone", line("GET * HTTP/1.1"), &[400], Ends),
        ("3.2 no fragment", line("GET /healthz#x HTTP/1.1"), &[400], Ends),
        ("3986 2 a quote", line("GET /healthz<\"> HTTP/1.1"), &[400], Ends),
        ("3986 2 NUL", line("GET /heal\0thz HTTP/1.1"), &[400], Ends),
        ("3986 2.1 encoded", line("GET /%68ealth%7A HTTP/1.1"), &[200], GoesOn),
        ("3986 2.1 not encoded in a query", line("GET /healthz?%zz HTTP/1.1"), &[200], GoesOn),
        ("3986 2.1 a slash within", line("GET /x%2fhealthz HTTP/1.1"), &[404], GoesOn),
        ("3986 3.3 no dots are resolved", line("GET /x/../healthz HTTP/1.1"), &[404], GoesOn),
        ("3629 a room is UTF-8", line("GET /v1/rooms/%ff HTTP/1.1"), &[400], GoesOn),
    ]);
}

#[test]
fn fields_are_read_as_rfc_9112_section_5_says() {
    check(&[
        ("5.1 no colon", get("X\r\n"), &[400], Ends),
        ("5.1 a space before the colon", get("X : a\r\n"), &[400], Ends),
        ("5.1 no name", get(": a\r\n"), &[400], Ends),
        ("9110 5.1 a space in a name", get("X Y: a\r\n"), &[400], Ends),
        ("9110 5.1 NUL in a name", get("X\0: a\r\n"), &[400], Ends),
        ("5.2 a folded line", get("X: a\r\n b\r\n"), &[400], Ends),
        ("5.2 folded with a tab", get("X: a\r\n\tb\r\n"), &[400], Ends),
        ("9110 5.5 NUL", get("X: a\0b\r\n"), &[400], Ends),
        ("9110 5.5 a control character", get("X: a\x01b\r\n"), &[400], Ends),
        ("9110 5.5 DEL", get("X: a\x7fb\r\n"), &[400], Ends),
        ("9110 5.5 beyond ASCII", get("X: \u{e9}\r\n"), &[200], GoesOn),
        ("9110 5.5 no value", get("X:\r\n"), &[200], GoesOn),
        ("9110 5.6.3 blanks around a value", host("Host:\t localhost \t\r\n"), &[200], GoesOn),
        ("9110 14.2 ranges are optional", get("Range: bytes=0-1\r\n"), &[200], GoesOn),
    ]);
}

#[test]
fn a_host_is_one_name_or_address_by_rfc_9110_section_7_2() {
    let two = "Host: localhost\r\nhost: localhost\r\n";
    check(&[
        ("9112 3.2 none", host(""), &[400], Ends),
        ("9112 3.2 two of one value", host(two), &[400], Ends),
        ("9112 3.2 a list", host("Host: localhost, localhost\r\n"), &[400], Ends),
        ("9110 4.2.1 an empty one", host("Host:\r\n"), &[400], Ends),
        ("3986 3.2.2 a URL", host("Host: http://localhost\r\n"), &[400], Ends),
        ("3986 3.2.2 IPv6", host("Host: [::1]:8080\r\n"), &[200], GoesOn),
        ("3986 3.2.2 IPv6 without brackets", host("Host: ::1\r\n"), &[400], Ends),
        ("3986 3.2.2 a zone", host("Host: [fe80::1%25lo]\r\n"), &[400], Ends),
        ("3986 3.2.3 a port is a number", host("Host: localhost:http\r\n"), &[400], Ends),
        ("3986 3.2.3 no port", host("Host: localhost:\r\n"), &[200], GoesOn),
        ("a path of a Unix socket", host("Host: /run/corecast.sock\r\n"), &[400], Ends),
        ("the same encoded", host("Host: %2Frun%2Fcorecast.sock\r\n"), &[200], GoesOn),
        ("9112 3.2 none before HTTP/1.1", "GET /healthz HTTP/1.0\r\n\r\n".to_owned(), &[200], Ends),
    ]);
}

#[test]
fn a_body_has_one_length_by_rfc_9112_section_6() {
    let sized = |fields: &str| post(fields, MESSAGE);
    let coded = |coding: &str| post(&format!("Transfer-Encoding: {coding}\r\n"), "0\r\n\r\n");
    let both = "Transfer-Encoding: chunked\r\nContent-Length: 13\r\n";
    check(&[
        ("6.1 both", post(both, &format!("d\r\n{MESSAGE}\r\n0\r\n\r\n")), &[400], Ends),
        ("6.1 before HTTP/1.1", chunked("0\r\n\r\n").replacen("1.1", "1.0", 1), &[400], Ends),
        ("6.1 identity is no coding", coded("identity"), &[501], Ends),
        ("6.1 an unknown coding", coded("xchunked"), &[501], Ends),
        ("6.1 a coding in front", coded("gzip, chunked"), &[501], Ends),
        ("6.1 a coding behind", coded("chunked, gzip"), &[501], Ends),
        ("7 no parameters", coded("chunked;q=1"), &[501], Ends),
        ("6.1 no coding", coded(""), &[501], Ends),
        ("6.1 a vertical tab", coded("\x0bchunked"), &[400], Ends),
        (
            "6.3 two of one value",
            sized("Content-Length: 13\r\nContent-Length: 13\r\n"),
            &[400],
            Ends,
        ),
        ("6.3 a list of one value", sized("Content-Length: 13, 13\r\n"), &[400], Ends),
        ("9110 8.6 a sign", sized("Content-Length: +13\r\n"), &[400], Ends),
        ("9110 8.6 less than nothing", sized("Content-Length: -13\r\n"), &[400], Ends),
        ("9110 8.6 hexadecimal", sized("Content-Length: 0xd\r\n"), &[400], Ends),
        ("9110 8.6 no number", sized("Content-Length:\r\n"), &[400], Ends),
        (
            "9110 8.6 beyond 64 bits",
            sized("Content-Length: 18446744073709551629\r\n"),
            &[400],
            Ends,
        ),
        ("9110 8.6 zeros in front", sized("Content-Length: 0013\r\n"), &[202], GoesOn),
    ]);
}

#[test]
fn chunks_are_read_as_rfc_9112_section_7_1_says() {
    let extension = |len: usize| format!("d;{}\r\n", "x".repeat(len));
    check(&[
        ("7.1 one chunk", sized("d\r\n"), &[202], GoesOn),
        ("7.1 either case", sized("D\r\n"), &[202], GoesOn),
        ("7.1 zeros in front", sized("000d\r\n"), &[202], GoesOn),
        ("7.1 a prefix", sized("0xd\r\n"), &[400], Ends),
        ("7.1 a sign", sized("+d\r\n"), &[400], Ends),
        ("7.1 less than nothing", sized("-d\r\n"), &[400], Ends),
        ("7.1 a space in front", sized(" d\r\n"), &[400], Ends),
        ("7.1 a line", sized("d_\r\n"), &[400], Ends),
        ("7.1 no size", sized("\r\n"), &[400], Ends),
        ("7.1 beyond 64 bits", sized("1000000000000000d\r\n"), &[400], Ends),
        ("7.1 a bare LF behind the size", sized("d\n"), &[400], Ends),
        ("7.1 a bare LF behind the data", trailed("\n0\r\n\r\n"), &[400], Ends),
        ("7.1 more data than that", trailed("xx\r\n0\r\n\r\n"), &[400], Ends),
        ("7.1 a bare LF at the end", trailed("\r\n0\n\n"), &[400], Ends),
        ("7.1.1 extensions", sized("d;a=b;c=\"d e\"\r\n"), &[202], GoesOn),
        ("7.1.1 blanks in them", sized("d ; a = b\r\n"), &[202], GoesOn),
        ("7.1.1 a bare LF in one", sized("d;a\n"), &[400], Ends),
        ("7.1.1 a bare CR in one", sized("d;a\rb\r\n"), &[400], Ends),
        ("7.1.1 a long one", sized(&extension(20_000)), &[400], Ends),
        ("7.1.2 a trailer", trailed("\r\n0\r\nX: y\r\n\r\n"), &[202], GoesOn),
        ("7.1.2 no framing", trailed("\r\n0\r\nContent-Length: 7\r\n\r\n"), &[202], GoesOn),
        ("7.1.2 no colon", trailed("\r\n0\r\nX\r\n\r\n"), &[400], Ends),
        ("7.1.2 a long one", trailed(&format!("\r\n0\r\nX: {:20000}\r\n\r\n", "")), &[400], Ends),
    ]);
}

#[test]
fn methods_and_expectations_are_those_of_rfc_9110() {
    let head = |target: &str| line(&format!("HEAD {target} HTTP/1.1"));
    let three = "Content-Length: 3\r\n";
    let unread = format!("{}Expect: 100-continue\r\n", "Content-Length: 13\r\n");
    let older = post(&unread, MESSAGE).replacen("1.1", "1.0", 1);
    let refused = "HEAD /healthz HTTP/1.1\r\n\r\n".to_owned();
    check(&[
        ("9.1 a method has a case", line("get /healthz HTTP/1.1"), &[405], GoesOn),
        ("9.1 an unknown one", line("BREW /healthz HTTP/1.1"), &[405], GoesOn),
        ("9.1 no token", line("G(T /healthz HTTP/1.1"), &[400], Ends),
        ("9.3.1 GET with content", get(three) + "abc", &[200], GoesOn),
        (
            "9.3.1 in chunks",
            get("Transfer-Encoding: chunked\r\n") + "1\r\na\r\n0\r\n\r\n",
            &[200],
            GoesOn,
        ),
        (
            "9.3.1 whose end is unclear",
            get("Transfer-Encoding: chunked\r\n") + "zz\r\n",
            &[200],
            Ends,
        ),
        ("9.3.2 HEAD", head("/healthz"), &[200], GoesOn),
        ("9.3.2 of an API", head("/v1/stats"), &[200], GoesOn),
        ("9.3.2 of nothing", head("/nothing"), &[404], GoesOn),
        ("9.3.2 of what is posted to", head("/v1/broadcast"), &[405], GoesOn),
        ("9.3.2 without Host", refused, &[400], Ends),
        (
            "9.3.2 HEAD with content",
            head("/healthz").replace("\r\n\r\n", "\r\nContent-Length: 3\r\n\r\nabc"),
            &[200],
            GoesOn,
        ),
        ("9.3.7 OPTIONS", line("OPTIONS /healthz HTTP/1.1"), &[405], GoesOn),
        ("9.3.8 TRACE", line("TRACE /healthz HTTP/1.1"), &[405], GoesOn),
        (
            "15.5.6 with content",
            line("PUT /healthz HTTP/1.1").replace("\r\n\r\n", "\r\nContent-Length: 3\r\n\r\nabc"),
            &[405],
            GoesOn,
        ),
        ("10.1.1 no content", get("Expect: 100-continue\r\n"), &[200], GoesOn),
        ("10.1.1 unknown", post("Content-Length: 13\r\nExpect: x\r\n", MESSAGE), &[202], GoesOn),
        ("10.1.1 before HTTP/1.1", older, &[202], Ends),
    ]);
}

#[test]
fn connections_go_on_and_end_as_rfc_9112_section_9_says() {
    let older = |fields: &str| format!("GET /healthz HTTP/1.0\r\n{fields}\r\n");
    let upgrade = |target: &str, protocol: &str| {
        let fields = "Connection: upgrade\r\nSec-WebSocket-Version: 13\r\n";
        format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: {protocol}\r\n{fields}\r\n")
    };
    let both = "Connection: close\r\nConnection: keep-alive\r\n";
    check(&[
        ("9.3 they go on", get("Connection: keep-alive\r\n"), &[200], GoesOn),
        ("9.3 before HTTP/1.1 they end", older(""), &[200], Ends),
        ("9.3 unless asked", older("Connection: Keep-Alive\r\n"), &[200], GoesOn),
        ("9.3.2 requests in a row", GET.repeat(5), &[200, 200, 200, 200, 200], GoesOn),
        ("9.6 close", get("Connection: close\r\n"), &[200], Ends),
        ("9.6 in any case and in a list", get("Connection: x, CLOSE\r\n"), &[200], Ends),
        ("9.6 in one of two lines", get(both), &[200], Ends),
        ("9110 7.8 an unknown protocol", upgrade("/healthz", "h2c"), &[200], GoesOn),
        ("6455 4.2.1 a refused handshake", upgrade("/ws", "websocket"), &[400], Ends),
        ("6455 4.2.1 of nothing", upgrade("/nothing", "websocket"), &[404], Ends),
    ]);
}

#[test]
fn a_head_of_too_many_bytes_or_fields_is_431_whatever_of_it_is_long() {
    let server = Server::start(&[]);
    let mut raw = Raw::dial(server.address());
    raw.write(format!("GET /{}", "x".repeat(17_000)).as_bytes());
    // One limit is on the whole head. RFC 9112 section 3 has 414 for a target with a limit of its own.
    raw.response().assert_error(431);
    raw.expect_end();
    let long = |len: usize| format!("GET /healthz?{} HTTP/1.1", "x".repeat(len));
    let many = |count: usize| get(&"X: y\r\n".repeat(count));
    check(&[
        ("9112 3 within the limit", line(&long(15_000)), &[200], GoesOn),
        ("9112 3 beyond it", line(&long(17_000)), &[431], Ends),
        ("6585 5 a long field", get(&format!("X: {}\r\n", "y".repeat(17_000))), &[431], Ends),
        ("6585 5 as many as may be", many(99), &[200], GoesOn),
        ("6585 5 one more", many(100), &[431], Ends),
    ]);
}
