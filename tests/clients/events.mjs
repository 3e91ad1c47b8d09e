// Prints the events of a room as they come. Needs: npm install eventsource.
//
//     node events.mjs http://127.0.0.1:8080/v1/rooms/lobby/events COUNT
//
// Each line is a JSON array: the event's id, and its data. Ends with exit code 0 after COUNT events.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

// Unlike import, require also looks where NODE_PATH points.
const { EventSource } = createRequire(import.meta.url)("eventsource");

const PATIENCE_MS = 60_000;

const [url, count] = process.argv.slice(2);

setTimeout(() => {
  console.error(`waited ${PATIENCE_MS} ms in vain`);
  process.exit(1);
}, PATIENCE_MS).unref();

let received = 0;
const source = new EventSource(url);
source.onopen = () => console.log("open");
source.onerror = (error) => assert.fail(error.message);
source.onmessage = ({ lastEventId, data }) => {
  console.log(JSON.stringify([lastEventId, data]));
  received += 1;
  if (received === Number(count)) source.close();
};
