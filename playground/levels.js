// How loud the microphone and the agent are, from the sound itself.

const FLOOR_DB = -62;
const CEILING_DB = -14;

export class Levels {
  #context = null;
  #taps = new Map();

  /** Listens to a track under a name; call it from a click the first time. */
  attach(name, track) {
    this.detach(name);
    this.#context ??= new AudioContext();
    void this.#context.resume();
    const source = this.#context.createMediaStreamSource(new MediaStream([track]));
    const analyser = this.#context.createAnalyser();
    analyser.fftSize = 1024;
    analyser.smoothingTimeConstant = 0.6;
    source.connect(analyser);
    this.#taps.set(name, { source, analyser, samples: new Float32Array(1024), bands: new Uint8Array(512) });
  }

  detach(name) {
    this.#taps.get(name)?.source.disconnect();
    this.#taps.delete(name);
  }

  /** Loudness from 0 to 1. */
  level(name) {
    const tap = this.#taps.get(name);
    if (!tap) return 0;
    tap.analyser.getFloatTimeDomainData(tap.samples);
    const power = tap.samples.reduce((sum, sample) => sum + sample * sample, 0) / tap.samples.length;
    const db = 10 * Math.log10(power + 1e-12);
    return Math.min(1, Math.max(0, (db - FLOOR_DB) / (CEILING_DB - FLOOR_DB)));
  }

  /** The voice's spectrum in `count` bands, each from 0 to 1. */
  bands(name, count) {
    const tap = this.#taps.get(name);
    if (!tap) return new Array(count).fill(0);
    tap.analyser.getByteFrequencyData(tap.bands);
    // About 90 Hz to 3.5 kHz, where voices are.
    const [low, high] = [2, 75];
    return Array.from({ length: count }, (_, place) => {
      const from = Math.floor(low * (high / low) ** (place / count));
      const to = Math.max(from + 1, Math.floor(low * (high / low) ** ((place + 1) / count)));
      const slice = tap.bands.subarray(from, to);
      return slice.reduce((sum, value) => sum + value, 0) / slice.length / 255;
    });
  }
}
