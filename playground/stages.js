// What a turn's wait was made of. Plain code: numbers in, numbers out.

/** The stages in the order in which they are drawn. */
export const STAGES = [
  ["endpointing", "endpointing"],
  ["stt", "STT"],
  ["llm", "LLM"],
  ["tts", "TTS"],
  ["permits", "waiting for permits"],
  ["rest", "rest"],
];

/** A transcript that ended the turn: it came this close to the decision. */
const TOGETHER_MS = 25;

/**
 * Splits the wait of one turn into what was waited for; null when nothing was heard in reply. The
 * parts add up to the whole. Work that was done while something else was waited for costs nothing:
 * a reply that is ready at the end of the turn leaves endpointing alone.
 */
export function stagesOf(turn, endpointingDelayMs) {
  const total = turn.playout_started_ms;
  const committed = turn.committed_ms;
  if (total === null || committed === null) return null;
  const wasTranscriptLast =
    turn.transcript_ms !== null && committed - turn.transcript_ms < TOGETHER_MS;
  const endpointing = wasTranscriptLast ? Math.min(committed, endpointingDelayMs) : committed;
  let reached = Math.min(committed, total);
  const until = (moment) => {
    const next = Math.min(Math.max(moment ?? reached, reached), total);
    const took = next - reached;
    reached = next;
    return took;
  };
  let llm = until(turn.llm_first_token_ms);
  let tts = until(turn.tts_first_audio_ms);
  // What the services did not take: their requests waited for permits of the pool.
  const permits = Math.min(turn.permit_wait_ms ?? 0, llm + tts);
  const ofLlm = Math.min(permits, llm);
  llm -= ofLlm;
  tts -= permits - ofLlm;
  const parts = { endpointing, stt: committed - endpointing, llm, tts, rest: until(total) };
  if (permits > 0) parts.permits = permits;
  return { total, parts };
}

/** The work itself, also what was done during a wait for something else: [stage, from, to]. */
export function workOf(turn) {
  const spans = [
    ["stt", 0, turn.source === "speech" ? turn.transcript_ms : null],
    ["llm", turn.llm_started_ms, turn.llm_first_token_ms],
    ["tts", turn.tts_started_ms, turn.tts_first_audio_ms],
  ];
  return spans.filter(([, from, to]) => from !== null && to !== null);
}

/** The middle one. */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
