"""A caller on LiveKit's official Python SDK: speaks, types, calls methods, and tells what it perceives.

usage: official_caller.py URL TOKEN

Reads commands from standard input, a line each:
  say FILE     plays raw 16-bit mono PCM at 24 kHz into its microphone
  type TEXT    sends TEXT as chat
  call METHOD  calls a method of the agent's participant

Writes events to standard output, a JSON object each:
  {"event": "joined"}, {"event": "voice"} after each 200 ms of the agent's voice,
  {"event": "line", "speaker": IDENTITY, "text": TEXT, "final": BOOL} for each transcription stream that ended,
  {"event": "state", "value": STATE}, {"event": "answer", "text": TEXT}
"""

import asyncio
import json
import sys
from array import array

from livekit import rtc

RATE = 24_000
LOUD = 200


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
    text = await reader.read_all()
    attributes = reader.info.attributes or {}
    tell("line", speaker=speaker, text=text, final=attributes.get("lk.transcription_final") == "true")


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
    elif command == "call":
        agent = next(iter(room.remote_participants))
        answer = await room.local_participant.perform_rpc(destination_identity=agent, method=argument, payload="")
        tell("answer", text=answer)


async def main(url: str, token: str) -> None:
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

    room.register_text_stream_handler("lk.transcription", lambda reader, speaker: keep(read(reader, speaker)))
    await room.connect(url, token)
    microphone = rtc.AudioSource(RATE, 1)
    track = rtc.LocalAudioTrack.create_audio_track("microphone", microphone)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
    await room.local_participant.publish_track(track, options)
    tell("joined")
    while line := await asyncio.to_thread(sys.stdin.readline):
        await obey(room, microphone, line)
    await room.disconnect()


asyncio.run(main(*sys.argv[1:]))
