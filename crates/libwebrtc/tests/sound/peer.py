"""The other participant of the sound tests, on LiveKit's official Python SDK.

Publishes a sine, and records the first audio track it is given as raw 16-bit mono PCM at 48 kHz.

usage: peer.py URL TOKEN HZ AMPLITUDE SECONDS RECORDING

Says on standard output, a line each: "connected", "recording", "done". Ends when its input ends.
"""

import asyncio
import math
import sys
from array import array

from livekit import rtc

RATE = 48_000
FRAME = RATE // 100


async def publish_sine(room: rtc.Room, hz: float, amplitude: float) -> None:
    source = rtc.AudioSource(RATE, 1)
    track = rtc.LocalAudioTrack.create_audio_track("sine", source)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
    await room.local_participant.publish_track(track, options)
    step = 2 * math.pi * hz / RATE
    position = 0
    while True:
        samples = array("h", (round(amplitude * math.sin(step * n)) for n in range(position, position + FRAME)))
        position += FRAME
        await source.capture_frame(rtc.AudioFrame(samples.tobytes(), RATE, 1, FRAME))


async def record(track: rtc.Track, seconds: float, path: str) -> None:
    stream = rtc.AudioStream(track, sample_rate=RATE, num_channels=1)
    left = round(seconds * RATE) * 2
    with open(path, "wb") as file:
        say("recording")
        async for event in stream:
            data = bytes(event.frame.data)
            file.write(data[:left])
            left -= len(data)
            if left <= 0:
                break
    say("done")
    await stream.aclose()


def say(line: str) -> None:
    print(line, flush=True)


async def main(url: str, token: str, hz: str, amplitude: str, seconds: str, path: str) -> None:
    room = rtc.Room()
    recordings = []

    @room.on("track_subscribed")
    def on_track(track: rtc.Track, *_: object) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO and not recordings:
            recordings.append(asyncio.create_task(record(track, float(seconds), path)))

    await room.connect(url, token)
    say("connected")
    sine = asyncio.create_task(publish_sine(room, float(hz), float(amplitude)))
    await asyncio.to_thread(sys.stdin.read)
    for task in [sine, *recordings]:
        task.cancel()
    await room.disconnect()


asyncio.run(main(*sys.argv[1:]))
