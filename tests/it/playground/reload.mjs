// A page with LiveKit's own client that is loaded anew in the middle of a call, in a real browser.
//
// usage: node reload.mjs PAGE NODE_MODULES
//
// PAGE is the playground's address; its server gives tokens and LiveKit's client, and nothing else of it is
// used. Exits with 0 if the same user is back in the same call after the reload.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

const [page_url, node_modules] = process.argv.slice(2);
const require = createRequire(`${node_modules}/`);
const { AgentSession } = require("@livekit/protocol");
const { chromium } = require("playwright-core");

const TEXT = "my name is john";

/** The bytes of a question on `lk.agent.session`. */
const value = new AgentSession.SessionRequest_GetChatHistory();
const request = new AgentSession.SessionRequest({ requestId: "1", request: { case: "getChatHistory", value } });
const QUESTION = [...new AgentSession.AgentSessionMessage({ message: { case: "request", value: request } }).toBinary()];

/** Runs in the page: joins by the pass, or a new one; types the text if there is one; asks for the history. */
async function joinAndAsk({ pass, text, question }) {
  const { ParticipantKind, Room } = await import("/playground/livekit-client.js");
  if (!pass) {
    const answer = await fetch("/playground/token", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ identity: "reloads-0001" }),
    });
    pass = await answer.json();
  }
  // Not closed here: closing the page is what leaves the room.
  const room = (globalThis.room = new Room());
  const lines = [];
  const messages = [];
  const until = async (what, is) => {
    const deadline = Date.now() + 60_000;
    while (!is()) {
      if (Date.now() > deadline) throw new Error(`not seen: ${what}; lines: ${lines}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  room.registerTextStreamHandler("lk.transcription", async (reader) => lines.push(await reader.readAll()));
  room.registerByteStreamHandler("lk.agent.session", async (reader) => {
    const chunks = await reader.readAll();
    messages.push(chunks.flatMap((chunk) => [...chunk]));
  });
  await room.connect(pass.url, pass.token);
  const agent = () => [...room.remoteParticipants.values()].find((one) => one.kind === ParticipantKind.AGENT);
  await until("the agent", () => agent()?.attributes["lk.agent.state"] === "listening");
  if (text) {
    await room.localParticipant.sendText(text, { topic: "lk.chat" });
    await until("the answer", () => lines.some((line) => /nice to meet you/i.test(line)));
  }
  const isAnswer = ([tag]) => tag >> 3 === 5;
  const writer = await room.localParticipant.streamBytes({
    topic: "lk.agent.session",
    destinationIdentities: [agent().identity],
  });
  await writer.write(new Uint8Array(question));
  await writer.close();
  await until("the history", () => messages.some(isAnswer));
  return { pass, agent: agent().identity, history: messages.find(isAnswer) };
}

const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"],
});
try {
  const page = await browser.newPage();
  await page.goto(page_url);
  const before = await page.evaluate(joinAndAsk, { pass: null, text: TEXT, question: QUESTION });
  await page.reload();
  const after = await page.evaluate(joinAndAsk, { pass: before.pass, text: null, question: QUESTION });
  assert.equal(after.agent, before.agent, "the same agent, in the same call");
  const { message } = AgentSession.AgentSessionMessage.fromBinary(Uint8Array.from(after.history));
  const items = message.value.response.value.items.map(({ item }) => item.value);
  const said = items.flatMap(({ content }) => content.map(({ payload }) => payload.value));
  assert.ok(said.includes(TEXT), `what was said is known: ${said}`);
} finally {
  await browser.close();
}
