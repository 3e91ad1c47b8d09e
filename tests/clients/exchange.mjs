// Exchanges ten messages with a second client in one room. Needs: npm install ws.
//
//     node exchange.mjs ws://127.0.0.1:8080/ws NAME [--not-on SHARD]
//
// Start it twice, or together with exchange.py. Whoever comes second speaks first; from then on
// each answers the other. Both check that offsets have no hole, and end with exit code 0.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

// Unlike import, require also looks where NODE_PATH points.
const WebSocket = createRequire(import.meta.url)("ws");

const ROOM = "exchange";
const ROUNDS = 10;
const PATIENCE_MS = 60_000;

const [url, name, flag, shard] = process.argv.slice(2);
const notOn = flag === "--not-on" ? Number(shard) : undefined;

setTimeout(() => {
  console.error(`${name} waited ${PATIENCE_MS} ms in vain`);
  process.exit(1);
}, PATIENCE_MS).unref();

connect();

/** Connects, again if need be, until the kernel chose a shard that suits us. */
function connect() {
  const socket = new WebSocket(url);
  socket.on("error", (error) => {
    throw error;
  });
  socket.once("message", (text) => {
    const welcome = JSON.parse(text);
    assert.equal(welcome.event, "cast:welcome");
    if (welcome.data.shard === notOn) {
      socket.close();
      connect();
      return;
    }
    console.log(`shard ${welcome.data.shard}`);
    exchange(socket);
  });
}

function exchange(socket) {
  let start;
  let finished = 0;

  const send = (command) => socket.send(JSON.stringify(command));
  const say = (number) => {
    const data = { from: name, number, text: `Grüße von ${name} 🦀` };
    const inner = { event: "chat", data, echo: false };
    send({ event: "cast:publish", room: ROOM, id: number, data: inner });
  };
  const finish = (number) => {
    finished = number;
    if (finished === ROUNDS) socket.close();
  };
  const on = {
    "cast:joined"({ id, data }) {
      assert.equal(id, "join");
      console.log("joined");
      start = data.offset;
      // The second one speaks first, so that nothing is said before both are listening.
      if (data.members === 2) say(1);
    },
    "cast:ack"({ id, data }) {
      assert.equal(data.offset, start + id);
      finish(id);
    },
    chat({ room, offset, data }) {
      assert.equal(room, ROOM);
      assert.equal(offset, start + data.number);
      assert.notEqual(data.from, name);
      assert.equal(data.text, `Grüße von ${data.from} 🦀`);
      console.log(`${data.from} said ${data.number}`);
      finish(data.number);
      if (finished < ROUNDS) say(finished + 1);
    },
  };
  socket.on("message", (text) => {
    const message = JSON.parse(text);
    assert.ok(on[message.event], `unexpected ${text}`);
    on[message.event](message);
  });
  socket.on("close", () => process.exit(finished === ROUNDS ? 0 : 1));
  send({ event: "cast:join", room: ROOM, id: "join" });
}
