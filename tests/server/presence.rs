//! Proves that members which ask, or watch, know exactly who is in their room, and hear of every
//! change in order; and that nobody else does.

use std::collections::BTreeMap;

use crate::support::{Client, Folder, Issuer, Response, Server, http, wait_until};
use serde_json::{Value, json};

const SHARDS: usize = 3;

/// A server whose clients bring tokens, or may do everything without.
struct Setup {
    server: Server,
    issuer: Issuer,
    _folder: Folder,
}

fn setup(flags: &[&str]) -> Setup {
    let (issuer, folder) = (Issuer::python(), Folder::new());
    let secret = folder.write("secret", issuer.secret());
    let mut all = vec!["--jwt-secret-file", &secret, "--api-key", "the-key"];
    all.extend(["--anonymous", "all"]);
    all.extend(flags);
    Setup { server: Server::start_with_shards(SHARDS, &all), issuer, _folder: folder }
}

impl Setup {
    fn token(&mut self, sub: &str, info: &Value) -> String {
        self.issuer.sign(&json!({"sub": sub, "cast": {"join": ["lobby"], "info": info}}))
    }

    fn connect(&self, token: &str) -> Client {
        let mut client = Client::open(&self.server, &format!("/ws?access_token={token}"), &[])
            .expect("the token is good");
        client.recv_event("cast:welcome");
        client
    }

    fn user(&mut self, sub: &str, info: &Value) -> Client {
        let token = self.token(sub, info);
        self.connect(&token)
    }

    fn get(&self, target: &str) -> Response {
        let key = [("Authorization", "Bearer the-key")];
        http(self.server.address(), "GET", target, &key, "")
    }

    fn presence(&self) -> Value {
        let response = self.get("/v1/rooms/lobby/presence");
        assert_eq!(response.status, 200, "{response:?}");
        response.json()
    }
}

/// Joins and begins to watch; the state that this brings.
fn watch(client: &mut Client) -> Value {
    let join = json!({"event": "cast:join", "room": "lobby", "data": {"presence": true}});
    let joined = client.request(join);
    assert_eq!(joined.event(), "cast:joined", "{joined:?}");
    joined.data()["presence"].clone()
}

fn ask(client: &mut Client) -> Value {
    let answer = client.request(json!({"event": "cast:presence", "room": "lobby"}));
    assert_eq!((answer.event(), answer.room()), ("cast:presence".to_owned(), "lobby".to_owned()));
    answer.data().clone()
}

/// Users with their connections and infos.
fn users(state: &Value) -> BTreeMap<String, (u64, Value)> {
    let listed = state["users"].as_array().expect("a list");
    let users: BTreeMap<_, _> = listed
        .iter()
        .map(|user| {
            let name = user["user"].as_str().expect("a name").to_owned();
            (name, (user["connections"].as_u64().expect("a number"), user["info"].clone()))
        })
        .collect();
    assert_eq!(users.len(), listed.len(), "users come once");
    if state["more"] == false {
        assert_eq!(state["count"], users.len());
    }
    users
}

/// Takes one change, which leads to the next version.
fn follow(client: &mut Client, state: &mut Value) -> (Vec<String>, Vec<String>) {
    let change = client.recv_event("cast:presence_change");
    assert_eq!(change.room(), "lobby");
    let data = change.data();
    assert_eq!(data["version"].as_u64(), state["version"].as_u64().map(|last| last + 1));
    (state["version"], state["count"]) = (data["version"].clone(), data["count"].clone());
    let names = |key: &str| -> Vec<String> {
        let users = data[key].as_array().expect("a list").iter();
        users.map(|user| user["user"].as_str().expect("a name").to_owned()).collect()
    };
    (names("join"), names("leave"))
}

#[test]
fn users_are_named_once_with_what_their_tokens_say() {
    let mut setup = setup(&[]);
    let info = json!({"name": "Ann \"ü\"", "n": [1.5, null]});
    let ann = setup.token("ann", &info);
    let mut connections: Vec<Client> = (0..5).map(|_| setup.connect(&ann)).collect();
    connections.iter_mut().for_each(|client| drop(client.join("lobby")));
    let mut ben = setup.user("ben", &Value::Null);
    ben.join("lobby");
    let mut anonymous = Client::connect_on(&setup.server, 1);
    let id = anonymous.connection();
    let state = watch(&mut anonymous);
    let expected = BTreeMap::from([
        ("ann".to_owned(), (5, info)),
        ("ben".to_owned(), (1, Value::Null)),
        (id.clone(), (1, Value::Null)),
    ]);
    assert_eq!(users(&state), expected);
    let order: Vec<&Value> =
        state["users"].as_array().unwrap().iter().map(|user| &user["user"]).collect();
    assert_eq!(order, [&json!("ann"), &json!("ben"), &json!(id)]);
    assert_eq!((users(&ask(&mut ben)), users(&setup.presence())), (expected.clone(), expected));
    ben.assert_nothing_pending();
    connections[0].assert_nothing_pending();
}

#[test]
fn who_watches_hears_of_all_that_come_and_go_and_nobody_else_does() {
    let flags = ["--presence-interval", "50ms", "--presence-linger", "100ms"];
    let mut setup = setup(&flags);
    let mut watchers: Vec<Client> =
        (0..SHARDS).map(|shard| Client::connect_on(&setup.server, shard as u64)).collect();
    let mut states: Vec<Value> = watchers.iter_mut().map(watch).collect();
    let mut silent = setup.user("silent", &Value::Null);
    silent.join("lobby");
    let users_of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    for (watcher, state) in watchers.iter_mut().zip(&mut states) {
        // The other watchers come first, each with a version.
        let mut joined = Vec::new();
        while !joined.contains(&"silent".to_owned()) {
            joined = follow(watcher, state).0;
        }
        assert_eq!(state["count"], SHARDS + 1);
    }
    for round in 0..5 {
        let name = format!("user-{round}");
        let mut user = setup.user(&name, &json!(round));
        user.join("lobby");
        for (watcher, state) in watchers.iter_mut().zip(&mut states) {
            assert_eq!(follow(watcher, state), (users_of(&[&name]), vec![]));
        }
        drop(user);
        for (watcher, state) in watchers.iter_mut().zip(&mut states) {
            assert_eq!(follow(watcher, state), (vec![], users_of(&[&name])));
        }
    }
    assert!(states.iter().all(|state| state["version"] == states[0]["version"]), "{states:?}");
    silent.assert_nothing_pending();
}

#[test]
fn a_page_that_is_loaded_again_changes_nothing() {
    let mut setup = setup(&["--presence-interval", "20ms", "--presence-linger", "10m"]);
    let token = setup.token("ann", &Value::Null);
    let mut page = setup.connect(&token);
    page.join("lobby");
    let mut watcher = setup.user("ben", &Value::Null);
    let state = watch(&mut watcher);
    for _ in 0..3 {
        drop(page);
        wait_until("the connection has left", || users(&setup.presence())["ann"].0 == 0);
        page = setup.connect(&token);
        page.join("lobby");
    }
    assert_eq!(users(&setup.presence())["ann"].0, 1);
    let mut other = setup.user("cat", &Value::Null);
    other.join("lobby");
    let mut known = state;
    assert_eq!(follow(&mut watcher, &mut known), (vec!["cat".to_owned()], vec![]));
    watcher.assert_nothing_pending();
}

#[test]
fn too_many_users_are_counted_and_not_named() {
    let flags = ["--presence-max", "3", "--presence-interval", "20ms", "--presence-linger", "0s"];
    let mut setup = setup(&flags);
    let mut watcher = setup.user("ann", &Value::Null);
    let mut state = watch(&mut watcher);
    let mut others: Vec<Client> = Vec::new();
    for name in ["ben", "cat"] {
        let mut other = setup.user(name, &Value::Null);
        other.join("lobby");
        assert_eq!(follow(&mut watcher, &mut state), (vec![name.to_owned()], vec![]));
        others.push(other);
    }
    let mut fourth = setup.user("dan", &Value::Null);
    fourth.join("lobby");
    let change = watcher.recv_event("cast:presence_change");
    assert_eq!((&change.data()["count"], &change.data()["more"]), (&json!(4), &json!(true)));
    state["version"] = change.data()["version"].clone();
    for state in [ask(&mut watcher), setup.presence()] {
        assert_eq!((&state["count"], &state["more"]), (&json!(4), &json!(true)));
        assert_eq!(state["users"], json!([]));
    }
    fourth.leave("lobby");
    let all = ["ann", "ben", "cat"].map(str::to_owned).to_vec();
    let gone = Vec::new();
    assert_eq!(follow(&mut watcher, &mut state), (all, gone), "nobody was known any more");
    assert_eq!(users(&setup.presence()).len(), 3);
}

#[test]
fn only_members_may_ask_and_errors_say_what_is_wrong() {
    let mut setup = setup(&[]);
    let mut client = setup.user("ann", &Value::Null);
    let code = |client: &mut Client, command: Value| {
        let error = client.request(command);
        assert_eq!(error.event(), "cast:error", "{error:?}");
        error.data()["code"].as_str().expect("a code").to_owned()
    };
    let ask_room = json!({"event": "cast:presence", "room": "lobby"});
    assert_eq!(code(&mut client, ask_room.clone()), "not_a_member");
    assert_eq!(code(&mut client, json!({"event": "cast:presence"})), "bad_envelope");
    assert_eq!(code(&mut client, json!({"event": "cast:presence", "room": ""})), "bad_envelope");
    for data in [json!({"presence": 1}), json!({"presence": null}), json!({"presence": "yes"})] {
        let join = json!({"event": "cast:join", "room": "lobby", "data": data});
        assert_eq!(code(&mut client, join), "bad_envelope");
    }
    let join = json!({"event": "cast:join", "room": "other", "data": {"presence": true}});
    assert_eq!(code(&mut client, join), "forbidden");
    let join = json!({"event": "cast:join", "room": "lobby", "data": {"presence": false}});
    assert_eq!(client.request(join).data().get("presence"), None);
    assert_eq!(ask(&mut client)["count"], 1);
    client.leave("lobby");
    assert_eq!(code(&mut client, ask_room), "not_a_member");
}

#[test]
fn a_second_join_brings_no_state_and_changes_nothing() {
    let setup = setup(&["--presence-interval", "20ms"]);
    let mut client = Client::connect_on(&setup.server, 0);
    client.join("lobby");
    let join = json!({"event": "cast:join", "room": "lobby", "data": {"presence": true}});
    assert_eq!(client.request(join).data().get("presence"), None);
    let mut other = Client::connect_on(&setup.server, 1);
    let state = watch(&mut other);
    assert_eq!(state["count"], 2);
    client.assert_nothing_pending();
}

#[test]
fn over_http_who_may_read_is_told_the_same() {
    let setup = setup(&[]);
    setup.get("/v1/rooms/lobby/presence").assert_error(404);
    let path = "/v1/rooms/lobby/presence";
    http(setup.server.address(), "GET", path, &[], "").assert_error(401);
    let mut client = Client::connect_on(&setup.server, 0);
    client.join("lobby");
    let state = setup.presence();
    assert_eq!(
        state["users"],
        json!([
            {"user": client.connection(), "connections": 1, "info": null}
        ])
    );
    assert_eq!((&state["count"], &state["more"]), (&json!(1), &json!(false)));
    assert_eq!(state, ask(&mut client));
    let response =
        http(setup.server.address(), "POST", path, &[("Authorization", "Bearer the-key")], "");
    response.assert_error(405);
    let figure = |name: &str| -> u64 {
        let stats = setup.get("/v1/stats").json();
        let shards = stats["shards"].as_array().unwrap();
        shards.iter().map(|shard| shard["presence"][name].as_u64().unwrap()).sum()
    };
    assert_eq!((figure("rooms"), figure("users"), figure("watchers")), (1, 1, 0));
    assert_eq!((figure("censuses"), figure("states")), (1, 2));
}

#[test]
fn an_info_that_is_too_long_is_refused_at_the_handshake() {
    let mut setup = setup(&[]);
    let longest = json!("x".repeat(1_022));
    let mut client = setup.user("ann", &longest);
    client.join("lobby");
    assert_eq!(users(&ask(&mut client))["ann"].1, longest);
    let token = setup.token("ann", &json!("x".repeat(1_023)));
    let refused = Client::open(&setup.server, &format!("/ws?access_token={token}"), &[]);
    let response = refused.expect_err("it is too long");
    assert_eq!(response.status(), 401);
    let body = response.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default();
    assert!(body.contains("cast.info"), "{body}");
    let many: Vec<u32> = (0..300).map(|_| 1).collect();
    setup.user("ben", &json!(many)).join("lobby");
}
