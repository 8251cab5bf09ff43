"""Recorded sound of unpacked Debian packages as 16 kHz mono WAV files.

usage: decode.py ROOT OUTPUT

OUTPUT/voices/VOICE, OUTPUT/held-out/VOICE, OUTPUT/music and OUTPUT/keys hold what was found.
"""

import sys
import wave
from pathlib import Path

import av

RATE_HZ = 16_000
MUSIC_SECONDS_MAX = 60
"""Of each piece; voices and keys are short."""

FORMATS = {".g722": "g722", ".gsm": "gsm"}
"""What says nothing of itself."""

VOICES = {
    "en": "en_US_f_Allison/*.g722",
    "fr": "fr_CA_f_June/*.g722",
    "it": "it_IT_m_Carlo/*.g722",
    "ru": "ru_RU_f_IvrvoiceRU/*.g722",
}
HELD_OUT = {
    "es-mx": "es_MX_f_Allison/*.g722",
    "it-menardi": "it_IT_f_Menardi/*.wav",
    "fr-armelle": "fr/*.gsm",
    "es-co": "es/*.gsm",
}
"""By nobody heard while the detector's limits were chosen. All but the first come as telephones carry them."""


def decode(source: Path, target: Path) -> None:
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE_HZ)
    pcm = bytearray()
    with av.open(str(source), format=FORMATS.get(source.suffix)) as container:
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
    for folder, voices in {"voices": VOICES, "held-out": HELD_OUT}.items():
        for voice, pattern in voices.items():
            # Top level only: below are letters and digits.
            for source in sorted(root.glob(f"asterisk/sounds/{pattern}")):
                try:
                    decode(source, output / folder / voice / f"{source.stem}.wav")
                except av.error.InvalidDataError:
                    print(f"{source}: skipped, nothing can be read of it", file=sys.stderr)
    for source in sorted(root.glob("asterisk/moh/*.g722")):
        decode(source, output / "music" / f"{source.stem}.wav")
    for source in sorted(root.glob("buckle/wav/*.wav")):
        decode(source, output / "keys" / f"{source.stem}.wav")


main()
