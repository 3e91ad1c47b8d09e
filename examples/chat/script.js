// The page's half of the chat: one WebSocket, which comes back by itself when it is lost.

const FIRST_DELAY = 250;
const LONGEST_DELAY = 10_000;
const ROOMS_EVERY = 10_000;

const $ = (id) => document.getElementById(id);

let name = sessionStorage.getItem("name");
let room = roomOfAddress();
let me = null; // The connection's id: two people may have the same name.
let socket = null;
let delay = FIRST_DELAY;
let timer = null;

// --- Connecting ---------------------------------------------------------------------------------

async function connect() {
  show("connecting", "Connecting…");
  let answer;
  try {
    // A browser hides why a WebSocket was refused, so the page asks first.
    answer = await fetch("/name", { method: "POST", body: name });
  } catch {
    return $("chat").hidden ? signOut("The server does not answer.") : connectIn(backOff());
  }
  if (answer.status === 400 || answer.status === 401) {
    return signOut((await answer.json()).error.message);
  }
  openChat();
  const address = new URL("/ws", location.href.replace(/^http/, "ws"));
  address.searchParams.set("name", name);
  const opened = new WebSocket(address);
  opened.onmessage = (event) => receive(JSON.parse(event.data));
  opened.onclose = (event) => opened === socket && lost(event);
  socket = opened;
}

// A reason with `retry=<ms>` says when to come back. One without says: do not. No reason at all is
// a lost connection.
function lost(event) {
  socket = me = null;
  const retry = /retry=(\d+)/.exec(event.reason);
  if (retry) return connectIn(Number(retry[1]));
  if (event.code === 1006) return connectIn(backOff());
  show("offline", `Closed: ${event.reason || event.code}`);
}

function connectIn(wait) {
  show("waiting", `Back in ${Math.max(1, Math.round(wait / 1000))} s`);
  clearTimeout(timer);
  timer = setTimeout(connect, wait);
}

// Random, so that not everybody comes back at the same moment.
function backOff() {
  delay = Math.min(delay * 2, LONGEST_DELAY);
  return delay * (0.5 + Math.random() / 2);
}

function send(event, data) {
  socket?.send(JSON.stringify({ event, data }));
}

// --- Receiving ----------------------------------------------------------------------------------

const handlers = {
  "cast:welcome": ({ data }) => {
    me = data.connection;
    delay = FIRST_DELAY;
    send("enter", room);
  },
  "cast:joined": () => {
    show("connected", "Connected");
    notice(`You are in ${room}`);
    listRooms();
  },
  "cast:error": ({ data }) => ($("problem").textContent = data.message),
  chat: ({ data }) => addMessage(data),
  joined: ({ data }) => (notice(`${data.name} joined`), listRooms()),
  left: ({ data }) => (notice(`${data.name} left`), listRooms()),
};

// What another room still says while we are on our way out of it is not for this page.
function receive(message) {
  if (message.room === undefined || message.room === room) handlers[message.event]?.(message);
}

// --- Showing ------------------------------------------------------------------------------------

function show(state, words) {
  $("status").dataset.state = state;
  $("status").textContent = words;
  $("send").disabled = state !== "connected";
  $("reconnect").hidden = state !== "offline" && state !== "waiting";
}

// Text is only ever set as text, so that what people write can never become a part of the page.
function element(tag, kind, text) {
  const made = document.createElement(tag);
  made.className = kind;
  made.textContent = text;
  return made;
}

function append(line) {
  const log = $("log");
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
  log.append(line);
  if (atEnd) log.scrollTop = log.scrollHeight;
}

const notice = (text) => append(element("p", "notice", text));

function addMessage({ from, name, text }) {
  const line = element("article", "message", "");
  const before = $("log").lastElementChild;
  line.dataset.from = from;
  line.classList.toggle("own", from === me);
  line.classList.toggle("again", before?.dataset.from === from);
  const author = element("p", "author", name);
  author.style.setProperty("--hue", hue(name));
  const now = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  author.append(element("time", "", now));
  line.append(author, element("p", "text", text));
  append(line);
}

const hue = (text) => [...text].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7);

// --- Rooms --------------------------------------------------------------------------------------

// The room stands behind the address's #, so that rooms are links, and Back leads back.
function roomOfAddress() {
  try {
    const room = decodeURIComponent(location.hash.slice(1)).replace(/\p{Cc}/gu, "");
    return room.slice(0, 40) || "lobby";
  } catch {
    return "lobby"; // It was not percent-encoded text.
  }
}

function enterRoom() {
  room = roomOfAddress();
  $("title").textContent = room;
  document.title = `${room} · Corecast`;
  $("log").replaceChildren();
  $("problem").textContent = "";
  if (me) send("enter", room);
}

async function listRooms() {
  const answer = await fetch("/v1/rooms?limit=1000").catch(() => null);
  if (!answer?.ok) return;
  const members = new Map([["lobby", 0], [room, 0]]);
  for (const known of (await answer.json()).rooms) {
    if (known.members > 0 || members.has(known.room)) members.set(known.room, known.members);
  }
  $("rooms").replaceChildren(...[...members].map(roomLink));
}

function roomLink([name, members]) {
  const link = element("a", "", "");
  link.href = `#${encodeURIComponent(name)}`;
  if (name === room) link.setAttribute("aria-current", "page");
  const count = element("span", "count", members);
  count.setAttribute("aria-label", members === 1 ? "1 person" : `${members} people`);
  link.append(element("span", "", name), count);
  const item = document.createElement("li");
  item.append(link);
  return item;
}

// --- Who you are --------------------------------------------------------------------------------

function signIn(chosen) {
  name = chosen.trim();
  connect();
}

function openChat() {
  if ($("door").hidden) return;
  sessionStorage.setItem("name", name);
  $("refusal").textContent = "";
  $("self").textContent = name;
  $("door").hidden = true;
  $("chat").hidden = false;
  enterRoom();
  $("text").focus();
}

function signOut(why) {
  sessionStorage.removeItem("name");
  clearTimeout(timer);
  const closing = socket;
  socket = me = name = null;
  closing?.close();
  $("chat").hidden = true;
  $("door").hidden = false;
  $("refusal").textContent = why;
  $("name").focus();
}

function onSubmit(form, action) {
  $(form).addEventListener("submit", (event) => {
    event.preventDefault();
    action();
  });
}

onSubmit("sign-in", () => signIn($("name").value));
onSubmit("open-room", () => {
  location.hash = encodeURIComponent($("room").value.trim());
  $("room").value = "";
});
onSubmit("say", () => {
  if (!me || $("text").value.trim() === "") return;
  $("problem").textContent = "";
  send("chat", $("text").value);
  $("text").value = "";
});
$("sign-out").addEventListener("click", () => signOut(""));
$("reconnect").addEventListener("click", () => (clearTimeout(timer), connect()));
window.addEventListener("hashchange", enterRoom);
setInterval(() => me && listRooms(), ROOMS_EVERY);
if (name) signIn(name);
