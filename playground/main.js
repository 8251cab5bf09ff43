// The page: puts the call, the captions and the figures together.

import { Call } from "./call.js";
import { Captions } from "./captions.js";
import { byId, element } from "./dom.js";
import { Latency } from "./latency.js";
import { Levels } from "./levels.js";
import { Pool } from "./pool.js";

const POLL_MS = 2000;
const WAVE_BARS = 33;
const METER_BARS = 8;
const METER_SPEAKS_MS = 500;

const STATE_TEXTS = {
  offline: "Your agent is a click away",
  connecting: "Connecting",
  waiting: "Waiting for the agent",
  initializing: "The agent is getting ready",
  idle: "The agent is idle",
  listening: "Listening",
  thinking: "Thinking",
  speaking: "Speaking",
  gone: "The agent has left",
};

const captions = new Captions();
const latency = new Latency();
const levels = new Levels();
const pool = new Pool();
let call = null;
let state = "offline";
let wantsMicrophone = true;
let hasMicrophone = false;

// Who we are to the agent's memory: one identity per browser, until somebody else wants to be it.
const identity = () => {
  let known = localStorage.getItem("voxpool-identity");
  if (!known) {
    known = `guest-${crypto.randomUUID().slice(0, 13)}`;
    localStorage.setItem("voxpool-identity", known);
  }
  return known;
};

function showState(next) {
  state = next;
  byId("state").textContent = STATE_TEXTS[next] ?? next;
  byId("wave").dataset.state = ["waiting", "initializing"].includes(next) ? "connecting" : next === "gone" ? "offline" : next;
}

function showConnection(text, kind) {
  byId("connection").textContent = text;
  byId("connection").dataset.state = kind;
}

function showProblem(text) {
  byId("notice").hidden = !text;
  byId("notice").textContent = text;
}

function showMicrophone() {
  byId("microphone").setAttribute("aria-pressed", String(wantsMicrophone));
  byId("microphone-label").textContent = wantsMicrophone ? "Microphone on" : "Microphone off";
}

/** What can be done while a call is up, or cannot while there is none. */
function showControls(isLive) {
  const button = byId("call");
  button.textContent = isLive ? "End call" : "Start call";
  button.toggleAttribute("data-live", isLive);
  for (const id of ["message", "send"]) byId(id).disabled = !isLive;
  for (const suggestion of byId("suggestions").querySelectorAll("button")) suggestion.disabled = !isLive;
  byId("forget").disabled = isLive;
}

function listen(to) {
  const on = (type, handle) => to.addEventListener(type, ({ detail }) => handle(detail));
  on("agent", (agent) => {
    showState(agent ?? "gone");
    // The figures of a turn are there once the agent has finished it.
    if (agent === "listening") void refresh();
  });
  on("caption", (caption) => captions.show(caption));
  on("voice", (track) => (track ? levels.attach("agent", track) : levels.detach("agent")));
  on("microphone", (track) => {
    hasMicrophone = Boolean(track);
    if (track) levels.attach("microphone", track);
    else levels.detach("microphone");
  });
  on("reconnecting", () => showConnection("Reconnecting", "busy"));
  on("reconnected", () => showConnection("Connected", "live"));
  on("problem", showProblem);
  on("ended", () => ended());
}

async function begin() {
  byId("call").disabled = true;
  showProblem("");
  captions.clear();
  showConnection("Connecting", "busy");
  showState("connecting");
  try {
    await latency.begin(identity());
    call = await Call.begin(identity(), wantsMicrophone, listen);
    showConnection("Connected", "live");
    if (state === "connecting") showState("waiting");
    showControls(true);
  } catch (error) {
    ended();
    showProblem(error.message);
  }
  byId("call").disabled = false;
}

function ended() {
  call = null;
  hasMicrophone = false;
  levels.detach("agent");
  levels.detach("microphone");
  showConnection("Not connected", "idle");
  showState("offline");
  showControls(false);
}

let nTyped = 0;
async function type(text) {
  const words = text.trim();
  if (!call || !words) return;
  nTyped += 1;
  captions.show({ segment: `typed-${nTyped}`, speaker: "user", text: words, isFinal: true });
  await call.send(words).catch(() => showProblem("The message could not be sent. Is the connection still up?"));
}

byId("call").addEventListener("click", () => void (call ? call.end() : begin()));
byId("microphone").addEventListener("click", async () => {
  wantsMicrophone = !wantsMicrophone;
  showMicrophone();
  if (!call) return;
  wantsMicrophone = await call.setMicrophone(wantsMicrophone);
  showMicrophone();
});
byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const message = byId("message");
  void type(message.value);
  message.value = "";
});
byId("suggestions").addEventListener("click", ({ target }) => {
  if (target instanceof HTMLButtonElement) {
    void type(target.textContent);
    byId("message").focus();
  }
});
byId("forget").addEventListener("click", () => {
  localStorage.removeItem("voxpool-identity");
  byId("identity").textContent = identity();
});

async function refresh() {
  const answers = [pool.update()];
  if (call) answers.push(latency.update(identity(), call.endpointingDelayMs));
  await Promise.allSettled(answers);
}

const wave = Array.from({ length: WAVE_BARS }, (_, place) => {
  const bar = element("i");
  bar.style.setProperty("--place", place);
  return bar;
});
const meter = Array.from({ length: METER_BARS }, () => element("i"));
const isStill = matchMedia("(prefers-reduced-motion: reduce)");
let meterSpoke = 0;

/** Draws the voices: the agent's while it speaks, else ours. */
function draw(now) {
  const mine = wantsMicrophone && hasMicrophone ? levels.level("microphone") : 0;
  meter.forEach((bar, place) => bar.classList.toggle("lit", mine * METER_BARS > place + 0.5));
  if (now - meterSpoke > METER_SPEAKS_MS) {
    meterSpoke = now;
    byId("meter").setAttribute("aria-valuenow", Math.round(100 * mine));
  }
  if (!isStill.matches) {
    const half = (WAVE_BARS + 1) / 2;
    const isAgent = state === "speaking";
    const bands = isAgent ? levels.bands("agent", half) : levels.bands(wantsMicrophone ? "microphone" : "", half);
    const loudness = isAgent ? levels.level("agent") : mine;
    wave.forEach((bar, place) => {
      const distance = Math.abs(place - half + 1);
      const shape = 1 - 0.8 * (distance / half) ** 1.5;
      const level = Math.min(1, (0.45 * loudness + 0.9 * bands[distance]) * loudness ** 0.3 * shape);
      bar.style.setProperty("--level", level.toFixed(3));
    });
  }
  requestAnimationFrame(draw);
}

byId("wave").append(...wave);
byId("meter").append(...meter);
byId("identity").textContent = identity();
showMicrophone();
showControls(false);
requestAnimationFrame(draw);
void refresh();
setInterval(() => {
  if (!document.hidden) void refresh();
}, POLL_MS);
