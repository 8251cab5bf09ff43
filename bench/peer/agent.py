"""The peer of `make bench-peer`: livekit-agents as its documentation sets it up.

Everything is the default (bundled VAD, a process per job, preemptive generation) but for what both
sides share: the endpoint from OPENAI_BASE_URL, PCM, 0.5 s of endpointing and interruptions decided by
the VAD alone. Two more only keep the run going: no LiveKit Cloud services (its models of turns and of
interruptions are among them), and no refusal under load.
"""

import os

from livekit.agents import Agent, AgentServer, AgentSession, JobContext, cli
from livekit.plugins import openai

server = AgentServer(load_fnc=lambda _: 0.0, host="127.0.0.1", port=int(os.environ["PEER_PORT"]))


@server.rtc_session(agent_name=os.environ["LIVEKIT_AGENT_NAME"])
async def entrypoint(ctx: JobContext) -> None:
    session = AgentSession(
        stt=openai.STT(model="gpt-4o-mini-transcribe"),
        llm=openai.LLM(model="gpt-4o-mini"),
        tts=openai.TTS(model="gpt-4o-mini-tts", response_format="pcm"),
        turn_handling={
            "turn_detection": "vad",
            "endpointing": {"mode": "fixed", "min_delay": 0.5, "max_delay": 3.0},
            "interruption": {"mode": "vad"},
        },
    )
    await session.start(agent=Agent(instructions=os.environ["PEER_INSTRUCTIONS"]), room=ctx.room)
    session.say(os.environ["PEER_GREETING"])


if __name__ == "__main__":
    cli.run_app(server)
