//! What cannot be done is refused before anything is connected, with what to do instead.

use super::support::load;

fn check(args: &[&str], code: i32, advice: &str) {
    let run = load(args);
    assert_eq!(run.code, code, "{args:?}: {run:?}");
    assert!(run.errors.contains(advice), "{args:?}: {}", run.errors);
    assert_eq!(run.out, "", "{args:?}");
}

#[test]
fn bad_arguments_are_refused_with_advice() {
    let url = "ws://127.0.0.1:1/ws";
    check(&[], 2, "<URL>");
    check(&["http://127.0.0.1:1/ws"], 2, "write ws://127.0.0.1:1/ws");
    check(&["https://127.0.0.1:1/ws"], 2, "write wss://127.0.0.1:1/ws");
    check(&[url, "--ca=x", "--insecure"], 2, "cannot be used with");
    check(&["brodcast"], 2, "ws://127.0.0.1:8080/ws");
    check(&[url, "--rate=0"], 1, "--window");
    check(&[url, "--rate=5", "--window=5"], 2, "cannot be used with");
    check(&[url, "--size=40"], 1, "at least 49");
    check(&[url, "--payload=json", "--size=255"], 1, "at least 256 where the payload is JSON");
    check(&[url, "--deflate", "--size=200"], 1, "--payload text takes less");
    check(&[url, "--deflate", "--header=sec-websocket-extensions: x"], 1, "leave out that");
    check(&[url, "--publish=PUB {room}"], 1, "{payload}");
    check(&[url, "--publish={payload}{rom}"], 1, "--publish has no {rom}; there are {room}");
    check(&[url, "--hello={payload}"], 1, "--hello has no {payload}; there are {room}");
    check(&[url, "--header=X: {id}"], 1, "--header has no {id}; there are {room}");
    check(&["ws://127.0.0.1:1/{token}"], 1, "the address has no {token}");
    check(&["ws://127.0.0.1:1/{room}", "--rooms=3"], 1, "give --publishers 3");
    check(&[url, "--csv=/nowhere.csv"], 1, "--csv /nowhere.csv cannot be read");
    check(&["ws://a:b@127.0.0.1:1/"], 2, "Authorization: Basic");
    check(&[url, "--window=2", "--window-by=acks", "--publish={payload}"], 1, "{id}");
    check(&[url, "--rooms=5", "--members=4"], 1, "fewer --rooms");
    check(&[url, "--sources=127.0.0.9-2"], 2, "smaller number first");
    check(&[url, "--members=0"], 1, "at least one member");
    check(&[url, "--duration=0s"], 1, "--duration is above 0");
    check(&[url, "--rate=1e6", "--duration=2h"], 1, "at most 4295s");
    check(&[url, "--assert=p98<1ms"], 2, "there is no figure");
    check(&[url, "--stage=10s"], 2, "looks like 10s:500");
    check(&[url, "--stage=10s:5,0s:5"], 2, "more than no time");
    check(&[url, "--stage=10s:-5"], 2, "0 or more");
    check(&[url, "--stage=1s:0", "--stage=1s:0"], 1, "give at least one stage a rate above 0");
    check(&[url, "--stage=1s:1e300"], 2, "at most 1,000,000,000");
    check(&[url, &["--stage=1s:1"; 101].join(" ").replace(" --stage=", ",")], 1, "at most 100");
    check(&[url, "--stage=2h:1e6"], 1, "asks for 7.20 G per room");
    check(&[url, "--stage=2h:1e6"], 1, "use shorter stages or lower rates");
    check(&[url, "--stage=1s:1e6", "--warm-up=2h"], 1, "--warm-up asks for 7.20 G per room");
    for other in ["--rate=5", "--window=5", "--duration=5s"] {
        check(&[url, "--stage=10s:5", other], 2, "cannot be used with");
    }
    check(&["hold", url, "--stage=10s:5"], 2, "unexpected argument");
    check(&["capacity", url, "--stage=10s:5"], 1, "leave out --stage");
    check(&[url, "--churn=0"], 2, "above 0");
    check(&[url, "--churn=5/m"], 2, "write a number");
    check(&[url, "--churn=5/s", "--window=4"], 1, "--churn needs --rate");
    check(&[url, "--churn=5/s", "--hello=SUB {room}"], 1, "--churn with --hello needs --ready");
    check(&["slow", url, "--churn=5/s"], 1, "--churn is for broadcast");
    check(&["capacity", url, "--churn=5/s"], 1, "leave out --churn");
    check(&["diff", "/nowhere.json", "/nowhere.json"], 1, "/nowhere.json cannot be read");
    check(&[url, "--members=many"], 2, "whole number");
    check(&[url, "--rate=fast"], 2, "write a number");
    check(&[url, "--header=nonsense"], 2, "Name: value");
    check(&[url, "--duration=5x"], 2, "unit of time");
    check(&["slow", url, "--share=120%"], 2, "between 0 and 100");
    check(&["capacity", url, "--window=5"], 1, "leave out --window");
    check(&["capacity", url, "--to=50"], 1, "--to at least --rate");
    check(&["capacity", url, "--precision=0"], 1, "between 1 and 100");
    check(&["hold", url, "--connections=0"], 1, "at least one");
    check(&["hold", url, "--connect-rate=0"], 1, "--connect-rate is above 0");
    check(&["hold", url, "--connect-rate=5", "--opening=5"], 2, "cannot be used with");
    check(&["hold", url, "--place"], 1, "give --rooms");
    check(&[url, "--place", "--hello=x"], 2, "cannot be used with");
    check(&["hold", url, "--pid=4294967295"], 1, "no process 4294967295");
    check(&["hold", url, "--connections=4000000000"], 1, "descriptors");
    // Nothing listens there, which would be told later.
    check(&[url, "--json=/nowhere/a.json"], 1, "/nowhere/a.json cannot be written");
    check(&[url, "--report=/nowhere/a.html"], 1, "/nowhere/a.html cannot be written");
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let url = "ws://127.0.0.1:1/ws";
    check(&["--quiet", url], 1, "connection refused");
    check(&["hold", "-q", "-n3", url], 1, "127.0.0.1:1");
}
