// Reads a room with many kinds of compression at once. Needs: npm install ws.
//
//     node compressed.mjs ws://127.0.0.1:8080/ws
//
// Each connection joins the room and publishes once the first message has come; after a message of
// the event "end" it prints what it was sent: its name, how many messages, and a digest of their
// texts. What `ws` offers and refuses is its own affair: it checks our answer strictly.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createRequire } from "node:module";

// Unlike import, require also looks where NODE_PATH points.
const WebSocket = createRequire(import.meta.url)("ws");

const ROOM = "compressed";
const PATIENCE_MS = 60_000;

const url = process.argv[2];

setTimeout(() => {
  console.error(`waited ${PATIENCE_MS} ms in vain`);
  process.exit(1);
}, PATIENCE_MS).unref();

/** What may be offered, by name. Small messages are compressed, too. */
const kinds = {
  default: {},
  none: false,
  "server_no_context_takeover": { serverNoContextTakeover: true },
  "client_no_context_takeover": { clientNoContextTakeover: true },
  "no_client_window": { clientMaxWindowBits: false },
  "all": {
    serverNoContextTakeover: true,
    clientNoContextTakeover: true,
    serverMaxWindowBits: 10,
    clientMaxWindowBits: 10,
  },
};
for (let bits = 9; bits <= 15; bits++) {
  kinds[`server_max_window_bits=${bits}`] = { serverMaxWindowBits: bits };
  kinds[`client_max_window_bits=${bits}`] = { clientMaxWindowBits: bits };
}

let missing = Object.keys(kinds).length;
const all = missing;

for (const [name, offer] of Object.entries(kinds)) {
  member(name, offer && { threshold: 0, ...offer });
}
refused("clientNoContextTakeover", { clientNoContextTakeover: false });
// No compressor of ours can do it: the offer is declined, and the connection is a plain one.
declined("serverMaxWindowBits: 8", { serverMaxWindowBits: 8 });

function member(name, perMessageDeflate) {
  const socket = new WebSocket(url, { perMessageDeflate, maxPayload: 1 << 20 });
  const digest = createHash("sha256");
  const padding = `Grüße von ${name} 🦀 `.repeat(40);
  let count = 0;
  let own = 0;
  const send = (command) => socket.send(JSON.stringify(command));
  const on = {
    "cast:welcome"() {
      assert.equal(socket.extensions, perMessageDeflate ? "permessage-deflate" : "", name);
      send({ event: "cast:join", room: ROOM });
    },
    "cast:joined"() {
      missing -= 1;
      if (missing === 0) console.log(`joined ${all}`);
    },
    go() {
      const data = { from: `node ${name}`, text: padding };
      send({ event: "cast:publish", room: ROOM, data: { event: "chat", data } });
    },
    chat({ data }) {
      if (data.from !== `node ${name}`) return;
      assert.equal(data.text, padding);
      own += 1;
    },
    end() {
      assert.equal(own, 1, name);
      console.log(`node ${name}: ${count} ${digest.digest("hex")}`);
      socket.close();
    },
  };
  socket.on("error", (error) => {
    throw new Error(`${name}: ${error.message}`);
  });
  socket.on("message", (text) => {
    const message = JSON.parse(text);
    if (message.room === ROOM && message.offset !== undefined) {
      count += 1;
      assert.equal(message.offset, count, name);
      digest.update(text);
    }
    assert.ok(on[message.event], `${name}: unexpected ${text}`);
    on[message.event](message);
  });
}

/** To a client that insists on its context, our answer is none: its library says so. */
function refused(name, perMessageDeflate) {
  const socket = new WebSocket(url, { perMessageDeflate });
  socket.on("open", () => assert.fail(`${name}: it opened`));
  socket.on("error", (error) => assert.match(error.message, /Invalid Sec-WebSocket-Extensions/));
}

function declined(name, perMessageDeflate) {
  const socket = new WebSocket(url, { perMessageDeflate });
  socket.on("open", () => {
    assert.equal(socket.extensions, "", name);
    socket.close();
  });
}
