// One call: LiveKit's room and what the agent says in it. Knows nothing of the page.

import {
  ParticipantKind,
  Room,
  RoomEvent,
  Track,
  setLogLevel,
} from "./livekit-client.js";

setLogLevel("warn");

/** How long an agent may take to come; LiveKit's own front ends wait as long. */
const AGENT_WITHIN_MS = 20_000;

/**
 * Events, with their `detail`: `agent` (the state, or null when it has gone), `caption` ({segment,
 * speaker, text, isFinal}), `voice` (the agent's track, or null), `microphone` (our track, or null),
 * `reconnecting`, `reconnected`, `problem` (a sentence), `ended`.
 */
export class Call extends EventTarget {
  #room = new Room({
    audioCaptureDefaults: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
  });
  #voice = null;
  #waiting = 0;

  /** Gets a token, joins, and turns the microphone on if that is wanted. */
  static async begin(identity, wantsMicrophone, listen) {
    const response = await fetch("/playground/token", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ identity }),
    });
    if (!response.ok) throw new Error(`The worker gives no token: ${await response.text()}`);
    const { url, token, endpointing_delay_ms: endpointingDelayMs } = await response.json();
    const call = new Call();
    listen(call);
    call.endpointingDelayMs = endpointingDelayMs;
    call.#watch();
    try {
      await call.#room.connect(url, token);
    } catch (error) {
      throw new Error(`The LiveKit server at ${url} cannot be joined (${error.message}). Is it running?`);
    }
    call.#greetAgents();
    if (wantsMicrophone) await call.setMicrophone(true);
    return call;
  }

  /** Turns the microphone on or off; says in a `problem` why it cannot. */
  async setMicrophone(isOn) {
    try {
      await this.#room.localParticipant.setMicrophoneEnabled(isOn);
    } catch (error) {
      const isRefused = error.name === "NotAllowedError";
      const why = isRefused
        ? "The microphone is blocked. Allow it for this page in the browser's address bar; until then you can type."
        : `The microphone cannot be used (${error.message}). You can type meanwhile.`;
      this.#tell("problem", why);
    }
    return this.#room.localParticipant.isMicrophoneEnabled;
  }

  /** Sends a typed message. */
  async send(text) {
    await this.#room.localParticipant.sendText(text, { topic: "lk.chat" });
  }

  async end() {
    clearTimeout(this.#waiting);
    await this.#room.disconnect();
  }

  #watch() {
    const room = this.#room;
    room.registerTextStreamHandler("lk.transcription", (reader, from) => {
      void this.#read(reader, from.identity);
    });
    room
      .on(RoomEvent.ParticipantConnected, () => this.#greetAgents())
      .on(RoomEvent.ParticipantAttributesChanged, (changed, participant) => {
        if (isAgent(participant) && "lk.agent.state" in changed) this.#greetAgents();
      })
      .on(RoomEvent.ParticipantDisconnected, (participant) => {
        if (isAgent(participant)) this.#tell("agent", null);
      })
      .on(RoomEvent.TrackSubscribed, (track, _, participant) => {
        if (track.kind === Track.Kind.Audio && isAgent(participant)) this.#play(track);
      })
      .on(RoomEvent.TrackUnsubscribed, (track) => {
        for (const player of track.detach()) player.remove();
        if (track === this.#voice) this.#tell("voice", null);
      })
      .on(RoomEvent.LocalTrackPublished, ({ track }) => this.#tell("microphone", track.mediaStreamTrack))
      .on(RoomEvent.LocalTrackUnpublished, () => this.#tell("microphone", null))
      .on(RoomEvent.TrackUnmuted, (publication, participant) => {
        if (participant.isLocal) this.#tell("microphone", publication.track.mediaStreamTrack);
      })
      .on(RoomEvent.Reconnecting, () => this.#tell("reconnecting"))
      .on(RoomEvent.Reconnected, () => this.#tell("reconnected"))
      .on(RoomEvent.Disconnected, () => this.#tell("ended"));
    this.#waiting = setTimeout(() => {
      this.#tell("problem", "No agent has come. Is the worker registered, and does it have a free slot? Its address / tells.");
    }, AGENT_WITHIN_MS);
  }

  /** Looks whether the agent is there, and in which state. */
  #greetAgents() {
    const agent = [...this.#room.remoteParticipants.values()].find(isAgent);
    if (!agent) return;
    clearTimeout(this.#waiting);
    this.#tell("agent", agent.attributes["lk.agent.state"] ?? "initializing");
  }

  #play(track) {
    this.#voice = track;
    const player = track.attach();
    player.setAttribute("aria-label", "The agent's voice");
    player.hidden = true;
    document.body.append(player);
    this.#tell("voice", track.mediaStreamTrack);
  }

  /** Reads one stream: the agent's grow word by word, the user's come whole, one for each version. */
  async #read(reader, identity) {
    const speaker = identity === this.#room.localParticipant.identity ? "user" : "agent";
    const { attributes } = reader.info;
    const segment = attributes["lk.segment_id"] ?? reader.info.id;
    let text = "";
    const show = (isFinal) => this.#tell("caption", { segment, speaker, text, isFinal });
    try {
      for await (const delta of reader) {
        text += delta;
        show(false);
      }
    } catch {
      // The sender has gone; what came is what was said.
    }
    const isFinal = reader.info.attributes["lk.transcription_final"] === "true";
    if (isFinal || speaker === "agent") show(true);
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** Avatars speak on behalf of an agent and are none themselves. */
const isAgent = (participant) =>
  participant.kind === ParticipantKind.AGENT && !participant.attributes["lk.publish_on_behalf"];
