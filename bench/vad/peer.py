"""The other side of `make bench-vad`: the VAD that livekit-agents brings, with its defaults.

usage: peer.py WAV...

For each file one line of JSON with what an AgentSession would be told: when speech was decided to have
begun and ended, and when it is then taken to have begun and ended. Seconds from the file's beginning.
The session's own frames are as short as these.
"""

import asyncio
import json
import sys
import time
import wave

from livekit import rtc
from livekit.agents import inference
from livekit.agents.vad import VADEventType

FRAME_SAMPLES = 160
FRAMES_AT_ONCE = 50


async def hear(path: str) -> dict:
    with wave.open(path) as file:
        rate_hz = file.getframerate()
        pcm = file.readframes(file.getnframes())
    vad = inference.VAD()
    stream = vad.stream()
    speeches: list[dict] = []

    async def collect() -> None:
        async for event in stream:
            now = event.samples_index / rate_hz
            if event.type == VADEventType.START_OF_SPEECH:
                began = now - event.speech_duration
                speeches.append({"started_at": now, "from": began, "ended_at": None, "to": None})
            elif event.type == VADEventType.END_OF_SPEECH:
                speeches[-1]["ended_at"] = now
                speeches[-1]["to"] = now - event.silence_duration

    collecting = asyncio.create_task(collect())
    cpu = time.process_time()
    step = FRAME_SAMPLES * 2
    for index, at in enumerate(range(0, len(pcm) - step + 1, step)):
        frame = rtc.AudioFrame(pcm[at : at + step], rate_hz, 1, FRAME_SAMPLES)
        stream.push_frame(frame)
        if index % FRAMES_AT_ONCE == 0:
            await asyncio.sleep(0)
    stream.end_input()
    await collecting
    cpu = time.process_time() - cpu
    await stream.aclose()
    return {"speeches": speeches, "cpu_seconds": cpu}


async def main() -> None:
    for path in sys.argv[1:]:
        print(json.dumps(await hear(path)), flush=True)


asyncio.run(main())
