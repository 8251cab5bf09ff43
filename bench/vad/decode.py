"""Recorded sound of unpacked Debian packages as 16 kHz mono WAV files.

usage: decode.py ROOT OUTPUT

OUTPUT/voices/LANGUAGE, OUTPUT/music and OUTPUT/keys hold what was found.
"""

import sys
import wave
from pathlib import Path

import av

RATE_HZ = 16_000
MUSIC_SECONDS_MAX = 60
"""Of each piece; voices and keys are short."""


def decode(source: Path, target: Path) -> None:
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE_HZ)
    pcm = bytearray()
    with av.open(str(source)) as container:
        for frame in container.decode(audio=0):
            for part in resampler.resample(frame):
                pcm += part.to_ndarray().tobytes()
            if len(pcm) > MUSIC_SECONDS_MAX * RATE_HZ * 2:
                break
    target.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(target), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE_HZ)
        out.writeframes(bytes(pcm[: MUSIC_SECONDS_MAX * RATE_HZ * 2]))


def main() -> None:
    root, output = Path(sys.argv[1]) / "usr/share", Path(sys.argv[2])
    # Top level only: below are letters and digits.
    for source in sorted(root.glob("asterisk/sounds/*/*.g722")):
        language = source.parent.name[:2]
        decode(source, output / "voices" / language / f"{source.stem}.wav")
    for source in sorted(root.glob("asterisk/moh/*.g722")):
        decode(source, output / "music" / f"{source.stem}.wav")
    for source in sorted(root.glob("buckle/wav/*.wav")):
        decode(source, output / "keys" / f"{source.stem}.wav")


main()
