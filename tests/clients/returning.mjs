// Listens to one room, whose stream is cut off again and again. Needs: npm install eventsource.
//
//     node returning.mjs http://127.0.0.1:8080
//
// It sees that each offset comes once, unless a recovery was refused with a reason, and reads until the
// room is sent the event "end". Prints what it did as JSON.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

// Unlike import, require also looks where NODE_PATH points.
const require = createRequire(import.meta.url);
const { EventSource } = require("eventsource");

const counts = { messages: 0, opened: 0, refused: {} };
let offset;
const source = new EventSource(`${process.argv[2]}/v1/rooms/back-1/events`);
source.onopen = () => (counts.opened += 1);
source.addEventListener("cast:unrecovered", ({ data }) => {
  const { reason } = JSON.parse(data).data;
  counts.refused[reason] = (counts.refused[reason] ?? 0) + 1;
  offset = undefined;
});
source.onmessage = ({ data }) => {
  const message = JSON.parse(data);
  assert.equal(message.offset, (offset ?? message.offset - 1) + 1);
  offset = message.offset;
  counts.messages += 1;
  if (message.event !== "end") return;
  source.close();
  console.log(JSON.stringify(counts));
};
