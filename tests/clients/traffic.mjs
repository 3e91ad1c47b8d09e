// Talks in one room for a while. Needs: npm install ws eventsource.
//
//     node traffic.mjs http://127.0.0.1:8080 NAME SECONDS
//
// The same as traffic.py, but that an EventSource listens to the room, too, instead of connections
// that come and go. An error of it, such as an end of its stream, is the end with exit code 1.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

// Unlike import, require also looks where NODE_PATH points.
const require = createRequire(import.meta.url);
const WebSocket = require("ws");
const { EventSource } = require("eventsource");

const ROOM = "traffic";

const [base, name, seconds] = process.argv.slice(2);
const until = performance.now() + Number(seconds) * 1000;

const text = (from, number) => `Grüße von ${from} 🦀 `.repeat(number % 40);

/** Counts the messages of the room, of which the first has the offset behind this one. */
class Received {
  constructor(offset) {
    this.offset = offset;
    this.count = 0;
  }

  /** Whether this was the last one. */
  take({ event, room, offset, data }) {
    this.offset ??= offset - 1;
    assert.deepEqual([room, offset], [ROOM, this.offset + 1]);
    this.offset = offset;
    this.count += 1;
    if (event === "end") return true;
    assert.deepEqual([event, data.text], ["chat", text(data.from, data.number)]);
    return false;
  }
}

function talk() {
  return new Promise((resolve) => {
    const socket = new WebSocket(base.replace("http", "ws") + "/ws");
    let [said, received] = [0, undefined];
    const send = (command) => socket.send(JSON.stringify(command));
    const say = () => {
      const inner = { event: "chat", data: { from: name, number: said, text: text(name, said) } };
      send({ event: "cast:publish", room: ROOM, id: said, data: inner });
    };
    const on = {
      "cast:welcome"() {
        send({ event: "cast:join", room: ROOM });
      },
      "cast:joined"({ data }) {
        received = new Received(data.offset);
        say();
      },
      "cast:ack"({ id }) {
        assert.equal(id, said);
        said += 1;
        if (performance.now() < until) say();
        else console.log("done");
      },
    };
    socket.on("error", (error) => assert.fail(error));
    socket.on("close", () => resolve({ said, received: received.count }));
    socket.on("message", (bytes) => {
      const message = JSON.parse(bytes);
      const answer = on[message.event];
      if (answer) answer(message);
      else if (received.take(message)) socket.close();
    });
  });
}

function listen() {
  return new Promise((resolve) => {
    const received = new Received();
    const source = new EventSource(`${base}/v1/rooms/${ROOM}/events`);
    source.onerror = (error) => assert.fail(error.message);
    source.onmessage = ({ data }) => {
      if (!received.take(JSON.parse(data))) return;
      source.close();
      resolve({ heard: received.count });
    };
  });
}

const [talked, heard] = await Promise.all([talk(), listen()]);
console.log(JSON.stringify({ ...talked, ...heard }));
process.exit(talked.said > 0 && talked.received > 0 && heard.heard > 0 ? 0 : 1);
