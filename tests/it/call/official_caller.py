"""A caller on LiveKit's official Python SDK: speaks, types, calls methods, and tells what it perceives.

usage: official_caller.py URL TOKEN [RECORDING]

With RECORDING (raw 16-bit mono PCM at 24 kHz; what a browser records if its name ends in .webm) it announces that it has recorded something before the agent came, and
sends it once the agent is there.

Reads commands from standard input, a line each:
  say FILE     plays raw 16-bit mono PCM at 24 kHz into its microphone
  type TEXT    sends TEXT as chat
  call METHOD [PAYLOAD]  calls a method of the agent's participant
  serve METHOD ANSWER  answers METHOD from now on and tells when it is called
  press KEY    presses a key of a telephone
  flood N  opens N streams on lk.chat with 8 KB of attributes each, texts and bytes in turn, and ends none
  open ID  opens a text stream on lk.chat
  write ID TEXT  goes on with it
  end ID  ends it; each of these four is followed by {"event": "done"}
  ask ID NAME JSON  sends the request NAME with these fields on lk.agent.session; NAME "-" sends one without a body

Writes events to standard output, a JSON object each:
  {"event": "joined"}, {"event": "voice"} after each 200 ms of the agent's voice,
  {"event": "line", "speaker": IDENTITY, "text": TEXT, "final": BOOL, "pieces": N, "attributes": {...}} for each
  transcription stream that ended, N being the pieces it came in,
  {"event": "packet", "speaker": IDENTITY, "id": ID, "text": TEXT, "final": BOOL} for each transcription packet,
  {"event": "told", "kind": KIND, "details": {...}} for each session event,
  {"event": "response", "id": ID, "kind": KIND, "error": TEXT, "details": {...}} for each answer to a request,
  {"event": "called", "method": METHOD, "payload": TEXT} for each call of a method that it serves,
  {"event": "pressed", "key": KEY, "code": N} for each key that the agent presses,
  {"event": "state", "value": STATE}, {"event": "answer", "text": TEXT} also for the words of a refusal
"""

import asyncio
import json
import sys
from array import array

from google.protobuf.json_format import MessageToDict, ParseDict
from livekit import rtc
from livekit.protocol.agent_pb.agent_session import AgentSessionMessage

RATE = 24_000
LOUD = 200
writers: dict[str, rtc.TextStreamWriter | rtc.ByteStreamWriter] = {}


def tell(event: str, **details: object) -> None:
    print(json.dumps({"event": event, **details}), flush=True)


async def listen(track: rtc.Track) -> None:
    loud = 0.0
    async for event in rtc.AudioStream(track, sample_rate=RATE, num_channels=1):
        samples = array("h", bytes(event.frame.data))
        if max(map(abs, samples), default=0) > LOUD:
            loud += len(samples) / RATE
        if loud >= 0.2:
            loud = 0.0
            tell("voice")


async def read(reader: rtc.TextStreamReader, speaker: str) -> None:
    pieces = [piece async for piece in reader]
    attributes = reader.info.attributes or {}
    final = attributes.get("lk.transcription_final") == "true"
    text = "".join(pieces)
    tell("line", speaker=speaker, text=text, final=final, pieces=len(pieces), attributes=attributes)


async def read_message(reader: rtc.ByteStreamReader) -> None:
    message = AgentSessionMessage()
    message.ParseFromString(b"".join([chunk async for chunk in reader]))
    which = message.WhichOneof("message")
    if which == "event":
        kind = message.event.WhichOneof("event")
        details = MessageToDict(getattr(message.event, kind), preserving_proto_field_name=True)
        tell("told", kind=kind, details=details)
    elif which == "response":
        response = message.response
        kind = response.WhichOneof("response")
        details = MessageToDict(getattr(response, kind), preserving_proto_field_name=True) if kind else {}
        error = response.error if response.HasField("error") else None
        tell("response", id=response.request_id, kind=kind, error=error, details=details)


def agent_of(room: rtc.Room) -> str:
    agents = [p for p in room.remote_participants.values() if p.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT]
    return agents[0].identity


async def ask(room: rtc.Room, argument: str) -> None:
    request_id, name, fields = argument.split(" ", 2)
    message = AgentSessionMessage()
    message.request.request_id = request_id
    if name != "-":
        body = getattr(message.request, name)
        body.SetInParent()
        ParseDict(json.loads(fields), body)
    writer = await room.local_participant.stream_bytes(
        "request", topic="lk.agent.session", destination_identities=[agent_of(room)]
    )
    await writer.write(message.SerializeToString())
    await writer.aclose()


async def send_recording(room: rtc.Room, track: str, path: str) -> None:
    while not room.remote_participants:
        joined = asyncio.Event()
        room.once("participant_connected", lambda _: joined.set())
        await joined.wait()
    with open(path, "rb") as file:
        pcm = file.read()
    writer = await room.local_participant.stream_bytes(
        "recording",
        topic="lk.agent.pre-connect-audio-buffer",
        mime_type="audio/webm;codecs=opus" if path.endswith(".webm") else "application/octet-stream",
        attributes={"trackId": track, "sampleRate": str(RATE), "channels": "1"},
        destination_identities=list(room.remote_participants),
    )
    await writer.write(pcm)
    await writer.aclose()


async def flood(room: rtc.Room, n_streams: int) -> None:
    """Opens streams and ends none: a writer that is forgotten would end its stream."""
    attributes = {"a": 8_000 * "x"}
    for n in range(len(writers), len(writers) + n_streams):
        own = room.local_participant
        if n % 2:
            writer = await own.stream_text(topic="lk.chat", attributes=attributes)
        else:
            writer = await own.stream_bytes(str(n), topic="lk.chat", attributes=attributes)
        writers[str(n)] = writer


async def stream(room: rtc.Room, command: str, argument: str) -> None:
    stream_id, _, text = argument.partition(" ")
    if command == "open":
        writers[stream_id] = await room.local_participant.stream_text(topic="lk.chat", stream_id=stream_id)
    elif command == "write":
        await writers[stream_id].write(text)
    else:
        await writers[stream_id].aclose()


async def obey(room: rtc.Room, microphone: rtc.AudioSource, line: str) -> None:
    command, _, argument = line.strip().partition(" ")
    if command == "say":
        with open(argument, "rb") as file:
            pcm = file.read()
        frame = RATE // 100
        for start in range(0, len(pcm) - 2 * frame + 1, 2 * frame):
            chunk = pcm[start : start + 2 * frame]
            await microphone.capture_frame(rtc.AudioFrame(chunk, RATE, 1, frame))
    elif command == "type":
        await room.local_participant.send_text(argument, topic="lk.chat")
    elif command == "flood":
        await flood(room, int(argument))
        tell("done")
    elif command in ("open", "write", "end"):
        await stream(room, command, argument)
        tell("done")
    elif command == "ask":
        await ask(room, argument)
    elif command == "serve":
        method, _, answer = argument.partition(" ")

        async def on_call(invocation: rtc.RpcInvocationData) -> str:
            tell("called", method=method, payload=invocation.payload)
            return answer

        room.local_participant.register_rpc_method(method, on_call)
    elif command == "press":
        code = "0123456789*#ABCD".index(argument)
        await room.local_participant.publish_dtmf(code=code, digit=argument)
    elif command == "call":
        method, _, payload = argument.partition(" ")
        call = room.local_participant.perform_rpc(
            destination_identity=agent_of(room), method=method, payload=payload, response_timeout=60
        )
        try:
            tell("answer", text=await call)
        except rtc.RpcError as error:
            tell("answer", text=str(error.data))


async def main(url: str, token: str, recording: str = "") -> None:
    room = rtc.Room()
    tasks: set[asyncio.Task] = set()

    def keep(coroutine) -> None:
        task = asyncio.create_task(coroutine)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    @room.on("track_subscribed")
    def on_track(track: rtc.Track, *_: object) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            keep(listen(track))

    @room.on("participant_attributes_changed")
    def on_attributes(changed: dict[str, str], _: rtc.Participant) -> None:
        if "lk.agent.state" in changed:
            tell("state", value=changed["lk.agent.state"])

    @room.on("transcription_received")
    def on_packet(segments: list[rtc.TranscriptionSegment], speaker: rtc.Participant | None, *_: object) -> None:
        for segment in segments:
            identity = speaker.identity if speaker else ""
            tell("packet", speaker=identity, id=segment.id, text=segment.text, final=segment.final)

    @room.on("sip_dtmf_received")
    def on_key(key: rtc.SipDTMF) -> None:
        tell("pressed", key=key.digit, code=key.code)

    room.register_byte_stream_handler("lk.agent.session", lambda reader, _: keep(read_message(reader)))
    room.register_text_stream_handler("lk.transcription", lambda reader, speaker: keep(read(reader, speaker)))
    await room.connect(url, token)
    microphone = rtc.AudioSource(RATE, 1)
    track = rtc.LocalAudioTrack.create_audio_track("microphone", microphone)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE, preconnect_buffer=bool(recording))
    publication = await room.local_participant.publish_track(track, options)
    if recording:
        keep(send_recording(room, publication.sid, recording))
    tell("joined")
    while line := await asyncio.to_thread(sys.stdin.readline):
        await obey(room, microphone, line)
    await room.disconnect()


asyncio.run(main(*sys.argv[1:]))
