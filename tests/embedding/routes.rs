//! Proves that a program answers HTTP beside `/ws`, and that the server's own paths stay its own.

use corecast::{Anonymous, HttpRequest, HttpResponse, Message, Method, Server, StartError};
use serde_json::json;

use crate::socket::{PATIENCE, Socket, builder};
use crate::support::http;

fn start() -> Server {
    builder()
        .shards(2)
        .api_key("secret")
        .anonymous(Anonymous::all())
        .route(Method::GET, "/", async |_: HttpRequest| Ok(HttpResponse::html("<h1>hi</h1>")))
        .route(Method::POST, "/say/{room}", async |request: HttpRequest| {
            let room = request.path_parameter("room").ok_or("the route has it")?;
            let said = Message::event("said", std::str::from_utf8(request.body())?)?;
            let receipt = request.broadcaster().to_room(room).publish(said).await?;
            let answer = json!({"offset": receipt.offset, "why": request.query_parameter("why")});
            Ok(HttpResponse::json(&answer)?.with_status(201))
        })
        .route(Method::GET, "/panic", async |_: HttpRequest| panic!("on purpose"))
        .route(Method::GET, "/fail", async |_: HttpRequest| Err("no luck".into()))
        .start()
        .unwrap()
}

#[test]
fn routes_answer_beside_the_socket() {
    let server = start();
    let address = server.local_addr();
    let page = http(address, "GET", "/", &[], "");
    assert_eq!((page.status, &*page.body), (200, &b"<h1>hi</h1>"[..]));
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let mut socket = Socket::connect(address);
    socket.join("a/b");
    let said = http(address, "POST", "/say/a%2Fb?why=be+cause", &[], "tea?");
    assert_eq!((said.status, said.json()), (201, json!({"offset": 1, "why": "be cause"})));
    socket.expect(json!({"event": "said", "data": "tea?", "room": "a/b", "offset": 1}));
    for path in ["/panic", "/fail"] {
        let failed = http(address, "GET", path, &[], "");
        failed.assert_error(500);
        assert_eq!(failed.error_code(), "handler_failed");
        let body = String::from_utf8_lossy(&failed.body);
        assert!(
            !body.contains("luck") && !body.contains("purpose"),
            "that stays in the log: {body}"
        );
    }
    let wrong = http(address, "DELETE", "/say/x", &[], "");
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("POST")));
    assert_eq!(http(address, "GET", "/nothing", &[], "").status, 404);
    assert_eq!(http(address, "GET", "/v1/stats", &[], "").status, 401, "keys open /v1 alone");
    server.shutdown(PATIENCE);
}

#[test]
fn a_program_may_have_what_the_server_does_not_need() {
    let metrics = async |_: HttpRequest| Ok(HttpResponse::text("up 1"));
    let server = builder().route(Method::GET, "/metrics", metrics).start().unwrap();
    for target in ["/metrics", "/%6detrics"] {
        let answer = http(server.local_addr(), "GET", target, &[], "");
        assert_eq!((answer.status, &*answer.body), (200, &b"up 1"[..]), "{target}");
    }
    server.shutdown(PATIENCE);
}

#[test]
fn a_route_that_nobody_could_reach_does_not_start() {
    let builder = builder();
    let hello = async |_: HttpRequest| Ok(HttpResponse::text("hello"));
    let refused = builder.clone().route(Method::GET, "/v1/mine", hello).start().unwrap_err();
    assert!(matches!(refused, StartError::Route { .. }), "{refused}");
    let refused = builder.listen("nowhere").start().unwrap_err();
    assert!(matches!(refused, StartError::Address { .. }), "{refused}");
    assert!(refused.to_string().contains("127.0.0.1:8080"), "{refused}");
}

#[test]
fn a_page_reaches_no_route_by_a_name_of_its_own() {
    let routed = || {
        let answer = async |_: HttpRequest| Ok(HttpResponse::text("yes"));
        builder().route(Method::GET, "/secret", answer)
    };
    for (builder, expected) in
        [(routed(), 403), (routed().open(), 200), (routed().api_key("key"), 200)]
    {
        let server = builder.start().unwrap();
        let status =
            |host: &str| http(server.local_addr(), "GET", "/secret", &[("Host", host)], "").status;
        assert_eq!((status("localhost"), status("evil.example")), (200, expected));
        server.shutdown(PATIENCE);
    }
}
