//! Proves that a program says where its clients live, and that this joins nothing.

use corecast::{Claims, Client, Handshake, Server};

use crate::socket::{PATIENCE, Socket, builder};

fn start() -> Server {
    builder()
        .shards(2)
        .authorize(async |handshake: Handshake| {
            let claims = match handshake.query_parameter("name") {
                Some(name) => Claims::for_subject(name),
                None => Claims::anonymous(),
            };
            Ok(match handshake.query_parameter("game") {
                Some(game) => claims.place_with(&game),
                None => claims,
            })
        })
        .on_connect(async |client: Client| {
            assert_eq!(client.handshake().path(), "/ws");
            client.set_state(client.claims().subject().map(str::to_owned));
            Ok(())
        })
        .start()
        .unwrap()
}

fn connect(server: &Server, query: &str) -> Socket {
    Socket::connect_to(server.local_addr(), &format!("/ws?{query}"))
}

#[test]
fn clients_live_where_the_program_says() {
    let server = start();
    let mut sockets: Vec<(usize, Socket)> = Vec::new();
    for round in 0..3 {
        for game in 0..40 {
            let name = if round == 0 { String::new() } else { format!("&name=u{round}") };
            sockets.push((game, connect(&server, &format!("game=game-{game}{name}"))));
        }
    }
    let together = (0..40).filter(|game| {
        let mut of_game = sockets.iter().filter(|(of, _)| of == game).map(|(_, one)| one.shard());
        let first = of_game.next();
        of_game.all(|shard| Some(shard) == first)
    });
    let together = together.count();
    assert!(together >= 24, "{together} of 40 games are on one shard each");
    for (_, socket) in &mut sockets {
        socket.assert_nothing_pending();
    }
    server.shutdown(PATIENCE);
}

/// Connections to one game with rooms of many homes in their query.
#[test]
fn what_the_program_says_holds_over_the_query() {
    let server = start();
    // So that the shard of the game has a place for each.
    let _others: Vec<Socket> = (0..400).map(|_| connect(&server, "")).collect();
    let mut shards = [0, 0];
    for room in 0..30 {
        let mut socket = connect(&server, &format!("room=room-{room}&game=one"));
        assert_eq!(socket.recv_event("cast:joined").room(), format!("room-{room}"));
        shards[socket.shard() as usize] += 1;
    }
    assert!(shards.iter().any(|count| *count >= 27), "{shards:?}");
    for name in ["", &"x".repeat(201), "%00"] {
        connect(&server, &format!("game={name}")).assert_nothing_pending();
    }
    server.shutdown(PATIENCE);
}
