// The playground in a real browser: one spoken and one typed turn, seen, heard and judged.
//
// usage: node page.mjs PAGE OPENAI_BASE_URL NODE_MODULES OUTPUT
//
// PAGE is the playground's address; OPENAI_BASE_URL speaks what the microphone hears and recognises
// what the agent said. Screenshots go to OUTPUT. Exits with 0 if everything was as it should be.

import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";

const [page_url, openai, node_modules, output] = process.argv.slice(2);
const require = createRequire(`${node_modules}/`);
const { AgentSession } = require("@livekit/protocol");
const { chromium } = require("playwright-core");
const axe = await readFile(`${node_modules}/axe-core/axe.min.js`, "utf8");

const PATIENCE_MS = 30_000;
const SPOKEN = "my name is john and i live in london";

function wav(samples, rate) {
  const header = Buffer.alloc(44);
  header.write("RIFF", 0);
  header.writeUInt32LE(36 + samples.length, 4);
  header.write("WAVEfmt ", 8);
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20);
  header.writeUInt16LE(1, 22);
  header.writeUInt32LE(rate, 24);
  header.writeUInt32LE(rate * 2, 28);
  header.writeUInt16LE(2, 32);
  header.writeUInt16LE(16, 34);
  header.write("data", 36);
  header.writeUInt32LE(samples.length, 40);
  return Buffer.concat([header, samples]);
}

/**
 * The microphone: half a second of silence and the sentence, again and again. A machine that is busy
 * may swallow a piece of it; people say it once more, too.
 */
async function microphone() {
  const spoken = await fetch(`${openai}/audio/speech`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "tts-1", voice: "echo", input: SPOKEN, response_format: "pcm" }),
  });
  assert.equal(spoken.status, 200);
  const silence = (seconds) => Buffer.alloc(24_000 * 2 * seconds);
  const once = Buffer.concat([silence(0.5), Buffer.from(await spoken.arrayBuffer()), silence(12)]);
  const sound = Buffer.concat(new Array(8).fill(once));
  const path = `${output}/microphone.wav`;
  await writeFile(path, wav(sound, 24_000));
  return path;
}

async function recognised(samples) {
  const form = new FormData();
  form.set("model", "whisper-1");
  form.set("file", new Blob([wav(samples, 16_000)], { type: "audio/wav" }), "agent.wav");
  const answer = await fetch(`${openai}/audio/transcriptions`, { method: "POST", body: form });
  assert.equal(answer.status, 200);
  return (await answer.json()).text.toLowerCase();
}

/** Serious findings of axe-core, as text. */
async function barriers(page) {
  await page.evaluate(axe);
  const result = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  return result.violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.target} ${node.failureSummary}`).join("; ")}`);
}

/** Records the agent's voice as the page plays it. */
const startRecorder = (page) =>
  page.evaluate(() => {
    const chunks = [];
    const recorder = new MediaRecorder(document.querySelector("audio").srcObject);
    recorder.ondataavailable = ({ data }) => chunks.push(data);
    recorder.start();
    globalThis.stopRecorder = async () => {
      const stopped = new Promise((resolve) => (recorder.onstop = resolve));
      recorder.stop();
      await stopped;
      const coded = await new Blob(chunks).arrayBuffer();
      const sound = await new OfflineAudioContext(1, 1, 16_000).decodeAudioData(coded);
      return Array.from(sound.getChannelData(0), (sample) => Math.round(32_767 * Math.max(-1, Math.min(1, sample))));
    };
  });

/** What was said; the sound goes to a file of that name. */
async function stopRecorder(page, name) {
  const recorded = await page.evaluate(() => globalThis.stopRecorder());
  const samples = Buffer.from(Int16Array.from(recorded).buffer);
  await writeFile(`${output}/${name}.wav`, wav(samples, 16_000));
  return recognised(samples);
}

/** Questions as LiveKit's own front ends put them on `lk.agent.session`, by name. */
const QUESTIONS = {
  getRtcStats: new AgentSession.SessionRequest_GetRTCStats(),
  getChatHistory: new AgentSession.SessionRequest_GetChatHistory(),
};

const asked = Object.entries(QUESTIONS).map(([name, value]) => {
  const request = new AgentSession.SessionRequest({ requestId: name, request: { case: name, value } });
  const message = new AgentSession.AgentSessionMessage({ message: { case: "request", value: request } });
  return [...message.toBinary()];
});

/** What LiveKit's own client sees of the agent, without any code of the page. */
const seenByLiveKit = (spoken) =>
  `(${async (spoken, asked) => {
    const { ParticipantKind, Room, RoomEvent } = await import("/playground/livekit-client.js");
    const answer = await fetch("/playground/token", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ identity: "contract-0001" }),
    });
    const { url, token, room: name } = await answer.json();
    const room = new Room();
    const seen = { name, states: [], streams: [], packets: [], messages: [] };
    const until = async (is) => {
      const deadline = Date.now() + 25_000;
      while (!is()) {
        if (Date.now() > deadline) throw new Error(`not seen: ${is}; seen: ${JSON.stringify(seen)}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    };
    room.registerTextStreamHandler("lk.transcription", async (reader, { identity }) => {
      let [text, pieces] = ["", 0];
      for await (const delta of reader) [text, pieces] = [text + delta, pieces + 1];
      seen.streams.push({ identity, text, pieces, attributes: reader.info.attributes });
    });
    room.registerByteStreamHandler("lk.agent.session", async (reader) => {
      const chunks = await reader.readAll();
      seen.messages.push(chunks.flatMap((chunk) => [...chunk]));
    });
    room.on(RoomEvent.TranscriptionReceived, (segments, participant) => {
      for (const { id, text, final } of segments) seen.packets.push({ identity: participant?.identity, id, text, final });
    });
    room.on(RoomEvent.ParticipantAttributesChanged, (changed) => {
      if (changed["lk.agent.state"]) seen.states.push(changed["lk.agent.state"]);
    });
    await room.connect(url, token);
    await until(() => [...room.remoteParticipants.values()].some((one) => one.kind === ParticipantKind.AGENT && one.trackPublications.size));
    const agent = [...room.remoteParticipants.values()].find((one) => one.kind === ParticipantKind.AGENT);
    await until(() => seen.streams.some((stream) => stream.identity === agent.identity));
    await until(() => agent.attributes["lk.agent.state"] === "listening");
    await room.localParticipant.setMicrophoneEnabled(true);
    await until(() => seen.streams.some(({ text, attributes }) => text === spoken && attributes["lk.transcription_final"] === "true"));
    await until(() => seen.streams.filter((stream) => stream.identity === agent.identity).length > 1);
    await until(() => agent.attributes["lk.agent.state"] === "listening");
    const isAnswer = ([tag]) => tag >> 3 === 5;
    for (const bytes of asked) {
      const options = { topic: "lk.agent.session", destinationIdentities: [agent.identity] };
      const writer = await room.localParticipant.streamBytes(options);
      await writer.write(new Uint8Array(bytes));
      await writer.close();
    }
    await until(() => seen.messages.filter(isAnswer).length === asked.length);
    const voice = [...agent.trackPublications.values()].map((publication) => ({
      sid: publication.trackSid,
      name: publication.trackName,
      source: publication.source,
    }));
    await room.disconnect();
    return { ...seen, agent: agent.identity, voice, attributes: agent.attributes };
  }})(${JSON.stringify(spoken)}, ${JSON.stringify(asked)})`;

/**
 * LiveKit's own client with a microphone that records before there is a connection. The sentence is over
 * by then, and the microphone is muted when the recording is sent: nothing else can be heard.
 */
const saidBeforehand = () =>
  `(${async () => {
    const { ParticipantEvent, Room } = await import("/playground/livekit-client.js");
    const answer = await fetch("/playground/token", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ identity: "hasty-0001" }),
    });
    const { url, token } = await answer.json();
    const room = new Room({ publishDefaults: { preConnectBuffer: true } });
    const lines = [];
    room.registerTextStreamHandler("lk.transcription", async (reader, { identity }) => {
      const text = await reader.readAll();
      if (identity === "hasty-0001" && reader.info.attributes["lk.transcription_final"] === "true") lines.push(text);
    });
    const microphone = room.localParticipant.setMicrophoneEnabled(true);
    // The sentence begins half a second after the device is opened.
    await new Promise((resolve) => setTimeout(resolve, 4500));
    const mimeTypes = [];
    const { streamBytes } = room.localParticipant;
    room.localParticipant.streamBytes = async function (options) {
      const writer = await streamBytes.call(this, options);
      const { close } = writer;
      writer.close = async () => {
        await close.call(writer);
        await room.localParticipant.setMicrophoneEnabled(false);
      };
      mimeTypes.push(options.mimeType);
      return writer;
    };
    const published = new Promise((resolve) => room.localParticipant.once(ParticipantEvent.LocalTrackPublished, resolve));
    await room.connect(url, token);
    await published;
    await microphone;
    const deadline = Date.now() + 25_000;
    while (lines.length === 0) {
      if (Date.now() > deadline) throw new Error(`nothing was heard; sent ${mimeTypes}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await room.disconnect();
    return { lines, mimeTypes };
  }})()`;

function judgeContract(seen) {
  const [voice] = seen.voice;
  assert.deepEqual([voice.name, voice.source], ["roomio_audio", "microphone"]);
  for (const state of ["listening", "thinking", "speaking"]) {
    assert.ok(seen.states.includes(state), `${state} not in ${seen.states}`);
  }
  for (const { attributes } of seen.streams) {
    assert.match(attributes["lk.segment_id"], /^SG_/);
    assert.match(attributes["lk.transcribed_track_id"], /^TR_/);
    assert.match(attributes["lk.transcription_final"], /^(true|false)$/);
  }
  const agents = seen.streams.filter(({ identity }) => identity === seen.agent);
  assert.ok(agents.every(({ attributes }) => attributes["lk.transcribed_track_id"] === voice.sid));
  assert.ok(agents.every(({ attributes }) => attributes["lk.transcription_final"] === "true"), "final by its trailer");
  assert.ok(agents.some(({ pieces }) => pieces > 1), "the agent's words come as they are heard");
  const last = seen.streams.find(({ text, attributes }) => text === SPOKEN && attributes["lk.transcription_final"] === "true");
  assert.equal(last.identity, "contract-0001", "the user's words come as the user's");
  const users = seen.streams.filter(({ attributes }) => attributes["lk.segment_id"] === last.attributes["lk.segment_id"]);
  const finals = users.map(({ attributes }) => attributes["lk.transcription_final"]);
  assert.deepEqual([...new Set(finals)], ["false", "true"], "interim, then final, in one segment");
  for (const identity of [seen.agent, "contract-0001"]) {
    assert.ok(seen.packets.some((packet) => packet.identity === identity && packet.final), "the older packets, too");
  }
}

/** The session as LiveKit's own front ends read it. */
function judgeSession(seen) {
  const messages = seen.messages.map((bytes) => AgentSession.AgentSessionMessage.fromBinary(Uint8Array.from(bytes)).message);
  const events = messages.filter((message) => message.case === "event").map((message) => message.value.event);
  const kinds = events.map((event) => event.case);
  for (const kind of ["agentStateChanged", "userStateChanged", "conversationItemAdded", "userInputTranscribed", "sessionUsageUpdated"]) {
    assert.ok(kinds.includes(kind), `${kind} not in ${kinds}`);
  }
  const answers = Object.fromEntries(
    messages
      .filter((message) => message.case === "response")
      .map(({ value }) => {
        assert.equal(value.error, undefined, value.requestId);
        assert.equal(value.response.case, value.requestId);
        return [value.requestId, value.response.value];
      }),
  );
  const said = answers.getChatHistory.items.map(({ item }) => item.value);
  const lines = said.map(({ role, content: [{ payload }] }) => ({ role, text: payload.value }));
  const { ASSISTANT, USER } = AgentSession.ChatRole;
  assert.deepEqual(lines.slice(0, 3).map(({ role }) => role), [ASSISTANT, USER, ASSISTANT], "greeting, user, agent");
  assert.equal(lines.findLast(({ role }) => role === USER).text, SPOKEN, JSON.stringify(lines));
  for (const { metrics } of said) {
    assert.ok(metrics.stoppedSpeakingAt.toDate() > metrics.startedSpeakingAt.toDate(), "both were heard for a while");
  }
  const { subscriberStats, publisherStats } = answers.getRtcStats;
  const [{ inboundRtp }] = subscriberStats.map((stats) => stats.toJson());
  assert.equal(inboundRtp.stream.kind, "audio");
  assert.ok(inboundRtp.inbound.jitterBufferDelay > 0 && inboundRtp.inbound.jitterBufferEmittedCount > 0);
  const paths = publisherStats.map((stats) => stats.toJson()).filter((stats) => stats.candidatePair);
  assert.equal(typeof paths[0].candidatePair.candidatePair.currentRoundTripTime, "number");
}

/** How the wait of a turn is split, without a browser. */
async function judgeStages() {
  const script = await readFile(new URL("../../../playground/stages.js", import.meta.url), "base64");
  const { median, stagesOf } = await import(`data:text/javascript;base64,${script}`);
  const turn = {
    transcript_ms: 310,
    committed_ms: 500,
    llm_started_ms: 310,
    llm_first_token_ms: 460,
    tts_started_ms: 462,
    tts_first_audio_ms: 490,
    playout_started_ms: 520,
  };
  const parts = (changes) => Object.values(stagesOf({ ...turn, ...changes }, 500).parts);
  // Endpointing, STT, LLM, TTS, rest.
  assert.deepEqual(parts({}), [500, 0, 0, 0, 20], "all was ready in time");
  const late = { transcript_ms: 790, committed_ms: 800, llm_first_token_ms: 950, tts_first_audio_ms: 1050, playout_started_ms: 1060 };
  assert.deepEqual(parts(late), [500, 300, 150, 100, 10], "the transcript was waited for");
  const typed = { transcript_ms: null, committed_ms: 0, llm_first_token_ms: 150, tts_first_audio_ms: 250, playout_started_ms: 255 };
  assert.deepEqual(parts(typed), [0, 0, 150, 100, 5]);
  assert.deepEqual(parts({ ...typed, permit_wait_ms: 170 }), [0, 0, 0, 80, 5, 170], "permits were short");
  assert.equal(stagesOf({ ...turn, playout_started_ms: null }, 500), null, "nothing was heard");
  assert.deepEqual([median([3, 1, 2]), median([4, 1, 2, 3])], [2, 2.5]);
}

async function main() {
  await judgeStages();
  await mkdir(output, { recursive: true });
  const sound = await microphone();
  const browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--use-fake-ui-for-media-stream",
      "--use-fake-device-for-media-stream",
      `--use-file-for-fake-audio-capture=${sound}%noloop`,
      "--autoplay-policy=no-user-gesture-required",
    ],
  });
  try {
    await converse(browser);
  } finally {
    await browser.close();
  }
}

async function converse(browser) {
  const context = await browser.newContext({
    permissions: ["microphone"],
    viewport: { width: 1280, height: 860 },
    colorScheme: "light",
  });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  const trouble = [];
  page.on("pageerror", (error) => trouble.push(String(error)));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) trouble.push(message.text());
  });
  page.on("request", (request) => {
    const { protocol, hostname } = new URL(request.url());
    if (hostname !== "127.0.0.1" && !["data:", "blob:"].includes(protocol)) trouble.push(`asks ${request.url()}`);
  });
  try {
    await talk(page, trouble);
  } catch (error) {
    await page.screenshot({ path: `${output}/failed.png` });
    console.error("the page says:", await page.locator("main").innerText());
    throw error;
  }
}

async function talk(page, trouble) {
  const shot = (name, options = {}) => page.screenshot({ path: `${output}/${name}.png`, ...options });
  const state = (text) => page.waitForFunction((text) => document.getElementById("state").textContent === text, text);
  const line = (who, words) => page.locator(`.line.${who}:not(.interim) .words`, { hasText: words }).first().waitFor();
  await page.goto(page_url);
  await page.evaluate(() => {
    globalThis.states = [];
    const note = () => globalThis.states.push(document.getElementById("state").textContent);
    new MutationObserver(note).observe(document.getElementById("state"), { childList: true });
  });
  assert.deepEqual(await barriers(page), []);
  await shot("before");

  // By keyboard alone: past the link that skips, to the two buttons.
  const button = (name) => page.getByRole("button", { name });
  const presses = async (key, focused) => {
    await page.keyboard.press(key);
    const at = await page.evaluate(() => document.activeElement.id || document.activeElement.className);
    assert.equal(at, focused, `after ${key}`);
  };
  await presses("Tab", "skip");
  await presses("Tab", "call");
  await presses("Tab", "microphone");
  await presses("Enter", "microphone");
  await presses("Shift+Tab", "call");
  await page.keyboard.press("Enter");
  await line("agent", /help/i);
  await state("Listening");

  await startRecorder(page);
  await button("Microphone off").click();
  await page.waitForFunction(() => Number(document.getElementById("meter").ariaValueNow ?? document.getElementById("meter").getAttribute("aria-valuenow")) > 10);
  await shot("listening");
  await line("user", SPOKEN);
  await state("Speaking");
  await page.emulateMedia({ colorScheme: "dark" });
  await page.waitForFunction(() => [...document.querySelectorAll("#wave i")].some((bar) => Number(bar.style.getPropertyValue("--level")) > 0.3));
  await shot("speaking-dark");
  await button("Microphone on").click();
  await state("Listening");
  await line("agent", /nice to meet you/i);
  const heard = [await stopRecorder(page, "answer-spoken")];

  await startRecorder(page);
  await page.getByLabel("Message to the agent").fill("What is my name?");
  await page.keyboard.press("Enter");
  await line("user", "What is my name?");
  await line("agent", /your name is john/i);
  await state("Listening");
  heard.push(await stopRecorder(page, "answer-typed"));
  // A machine that is busy may swallow a piece of one of them, as of what the user says.
  const isRecognised = /nice to meet you.* john/.test(heard[0]) || /your name is john/.test(heard[1]);
  assert.ok(isRecognised, `the agent's voice as the page plays it: ${JSON.stringify(heard)}`);
  await page.locator(".turn").nth(1).waitFor();
  const bars = await page.locator(".bar").evaluateAll((all) => all.map((bar) => bar.ariaLabel));
  assert.match(bars[1], /^endpointing \d+ ms/, "the spoken turn");
  assert.ok(bars[0].length > 0 && !bars[0].startsWith("endpointing"), `the typed turn: ${bars[0]}`);
  assert.match(await page.locator("#latency").innerText(), /\d+ ms\s*median of \d+/);
  for (const id of ["opened", "reused"]) {
    assert.ok(Number(await page.locator(`#${id}`).innerText()) > 0, id);
  }
  assert.match(await page.locator("#breakers").innerText(), /openai[\s\S]*Closed/);
  assert.match(await page.locator("#hit-rate").innerText(), /\d+ %/);
  for (const drawn of ["#requests-chart rect.reused", "#hit-chart path.line", "#flight-chart path.line"]) {
    // Drawn anew each time there are figures: a shape that was found may be gone when it is looked at.
    await page.waitForFunction((drawn) => document.querySelector(drawn)?.getBBox().width > 0, drawn);
  }
  const states = await page.evaluate(() => globalThis.states.join(" "));
  assert.match(states, /Listening.* Thinking.* Speaking.* Listening/);

  for (const colorScheme of ["dark", "light"]) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width: 1280, height: 860 });
    assert.deepEqual(await barriers(page), [], colorScheme);
    await shot(`call-${colorScheme}`, { fullPage: true });
    await page.setViewportSize({ width: 390, height: 844 });
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(overflow <= 0, `${overflow} px too wide`);
    await shot(`narrow-${colorScheme}`, { fullPage: true });
  }
  await button("End call").click();
  await button("Start call").waitFor();

  const seen = await page.evaluate(seenByLiveKit(SPOKEN));
  judgeContract(seen);
  judgeSession(seen);
  const before = await page.evaluate(saidBeforehand());
  assert.deepEqual(before.mimeTypes, ["audio/webm;codecs=opus"], `as MediaRecorder records: ${trouble}`);
  assert.equal(before.lines[0], SPOKEN, "what was said before the agent came is heard");
  assert.deepEqual(trouble, []);
  console.log(JSON.stringify({ heard, bars, states }));
}

await main();
