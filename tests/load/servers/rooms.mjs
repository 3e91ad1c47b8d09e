// A server of rooms that is not ours, of Node's ws: SUB room, PUB room text. Needs: npm install ws.
// Prints its port, and ends after a minute. Speaks TLS when it is given a certificate and its key, and
// compresses messages of a hundred bytes or more if COMPRESS is in its environment.

import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { createRequire } from "node:module";

// Unlike import, require also looks where NODE_PATH points.
const { WebSocketServer } = createRequire(import.meta.url)("ws");

const rooms = new Map();
const [cert, key] = process.argv.slice(2).map((file) => readFileSync(file));
const listener = cert ? https.createServer({ cert, key }) : http.createServer();
const perMessageDeflate = process.env.COMPRESS ? { threshold: 100 } : false;
const server = new WebSocketServer({ server: listener, perMessageDeflate });

listener.listen(0, "127.0.0.1", () => console.log(listener.address().port));
server.on("connection", (socket) => {
  socket.on("message", (data) => {
    const [, verb, room, text] = /^(\S+) (\S+) ?(.*)$/s.exec(data);
    const members = rooms.get(room) ?? rooms.set(room, new Set()).get(room);
    if (verb === "SUB") {
      members.add(socket);
      socket.on("close", () => members.delete(socket));
      socket.send("OK");
    } else {
      members.forEach((member) => member.send(text));
    }
  });
});

setTimeout(() => process.exit(1), 60_000);
