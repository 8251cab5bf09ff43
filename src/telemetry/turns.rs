//! The figures of the turns: how long each stage took, how turns ended, and the last ones one by one.
//!
//! Source of the stages' names: livekit-agents 1.8.9 `telemetry/otel_metrics.py`.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::histogram::Histogram;
use serde::Serialize;

use super::page::Page;
use crate::redact::Pii;
use crate::session::{SpeculationEnd, TurnObserver};
use crate::turn::{SessionTime, Timeline, Turn};

/// Turns that are kept one by one.
const RECENT_MAX: usize = 256;

/// Upper bounds of the histograms in seconds: fine where conversations are decided.
const BUCKETS: [f64; 16] = [
    0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0,
];

/// How long a stage took, if the turn had it.
type Measure = fn(&Timeline) -> Option<Duration>;

/// A stage of a turn: name, meaning, and where it is read from.
type Stage = (&'static str, &'static str, Measure);

const STAGES: [Stage; 9] = [
    (
        "voice_agent_turn_transcription_delay_seconds",
        "End of the user's voice to the transcript",
        Timeline::transcription_delay,
    ),
    (
        "voice_agent_turn_end_of_turn_delay_seconds",
        "End of the user's voice to the decision that the turn is over",
        Timeline::end_of_turn_delay,
    ),
    (
        "voice_agent_turn_llm_ttft_seconds",
        "Question to the model's first token",
        Timeline::llm_ttft,
    ),
    (
        "voice_agent_turn_tts_ttfb_seconds",
        "Sentence to the first sound from the speech service",
        Timeline::tts_ttfb,
    ),
    (
        "voice_agent_turn_first_token_seconds",
        "End of the user's voice, or typed text, to the model's first token",
        Timeline::first_token,
    ),
    (
        "voice_agent_turn_first_audio_seconds",
        "End of the user's voice, or typed text, to the first sound from the speech service",
        Timeline::first_audio,
    ),
    (
        "voice_agent_turn_e2e_latency_seconds",
        "End of the user's voice, or typed text, to the first sound of the reply",
        Timeline::e2e_latency,
    ),
    (
        "voice_agent_turn_interruption_delay_seconds",
        "Beginning of the user's voice over the agent's to the agent's silence",
        |timeline| timeline.interruption_delay,
    ),
    (
        "voice_agent_turn_permit_wait_seconds",
        "Waiting for permits of the pool, up to the first sound of the reply",
        |timeline| timeline.permit_wait,
    ),
];

/// Counts the turns of all calls; clones share the counts.
#[derive(Clone, Debug)]
pub struct TurnFigures(Arc<Mutex<Figures>>);

#[derive(Debug)]
struct Figures {
    stages: [Histogram; STAGES.len()],
    /// Turns by outcome and source.
    turns: BTreeMap<(&'static str, &'static str), u64>,
    /// In the order of [`SpeculationEnd::ALL`].
    speculations: [u64; SpeculationEnd::ALL.len()],
    recent: VecDeque<RecentTurn>,
    n_turns: u64,
}

/// One turn in numbers. Times are milliseconds since the end of the user's voice, or since the
/// typed text; a step that was skipped has none.
#[derive(Clone, Debug, Serialize)]
pub struct RecentTurn {
    /// Counts the turns of this process.
    pub number: u64,
    #[serde(skip)]
    user: Option<Pii<String>>,
    /// Where the user's words came from.
    pub source: &'static str,
    /// How the reply ended.
    pub outcome: &'static str,
    /// The transcript that counted arrived.
    pub transcript_ms: Option<u64>,
    /// The turn was decided to be over.
    pub committed_ms: Option<u64>,
    /// The model was asked.
    pub llm_started_ms: Option<u64>,
    /// The model's first token arrived.
    pub llm_first_token_ms: Option<u64>,
    /// The first sentence was handed to the speech service.
    pub tts_started_ms: Option<u64>,
    /// The first sound arrived from the speech service.
    pub tts_first_audio_ms: Option<u64>,
    /// The first sound left for the caller: what the user waited.
    pub playout_started_ms: Option<u64>,
    /// How long requests waited for permits of the pool meanwhile.
    pub permit_wait_ms: Option<u64>,
}

impl Default for TurnFigures {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Figures {
            stages: STAGES.map(|_| Histogram::new(BUCKETS)),
            turns: BTreeMap::new(),
            speculations: Default::default(),
            recent: VecDeque::new(),
            n_turns: 0,
        })))
    }
}

impl TurnFigures {
    /// The last turns of this user with a number above `after`, oldest first.
    pub fn recent(&self, user: &str, after: u64) -> Vec<RecentTurn> {
        let figures = self.lock();
        let is_theirs = |turn: &&RecentTurn| {
            let of = turn.user.as_ref().map(|user| user.expose().as_str());
            turn.number > after && of == Some(user)
        };
        figures.recent.iter().filter(is_theirs).cloned().collect()
    }

    /// Numbers stay usable whatever panicked while it held them.
    fn lock(&self) -> MutexGuard<'_, Figures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TurnObserver for TurnFigures {
    fn turn_ended(&self, turn: &Turn) {
        let mut figures = self.lock();
        for ((_, _, read), histogram) in STAGES.iter().zip(&figures.stages) {
            if let Some(duration) = read(&turn.timeline) {
                histogram.observe(duration.as_secs_f64());
            }
        }
        let (outcome, source) = (turn.outcome.label(), turn.source.label());
        *figures.turns.entry((outcome, source)).or_default() += 1;
        figures.n_turns += 1;
        if figures.recent.len() == RECENT_MAX {
            figures.recent.pop_front();
        }
        let recent = RecentTurn::new(figures.n_turns, turn);
        figures.recent.push_back(recent);
    }

    fn speculation_ended(&self, end: SpeculationEnd) {
        self.lock().speculations[end as usize] += 1;
    }
}

impl RecentTurn {
    fn new(number: u64, turn: &Turn) -> Self {
        let timeline = &turn.timeline;
        let ms = |moment: Option<SessionTime>| {
            let waited = timeline.waited(moment)?;
            u64::try_from(waited.as_millis()).ok()
        };
        Self {
            number,
            user: turn.user.clone(),
            source: turn.source.label(),
            outcome: turn.outcome.label(),
            transcript_ms: ms(timeline.transcript_final),
            committed_ms: ms(timeline.committed),
            llm_started_ms: ms(timeline.llm_started),
            llm_first_token_ms: ms(timeline.llm_first_token),
            tts_started_ms: ms(timeline.tts_started),
            tts_first_audio_ms: ms(timeline.tts_first_audio),
            playout_started_ms: ms(timeline.playout_started),
            permit_wait_ms: timeline
                .permit_wait
                .and_then(|wait| u64::try_from(wait.as_millis()).ok()),
        }
    }
}

impl Collector for TurnFigures {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let figures = self.lock();
        let mut page = Page::new(encoder);
        for ((name, help, _), histogram) in STAGES.iter().zip(&figures.stages) {
            page.histogram(name, help, histogram)?;
        }
        let turns = figures.turns.iter().map(|((outcome, source), count)| {
            let labels = vec![("outcome", *outcome), ("source", *source)];
            (labels, *count)
        });
        let help = "Turns ended, by how the reply ended and where the user's words came from";
        page.counters("voice_agent_turns", help, turns.collect())?;
        let speculations = SpeculationEnd::ALL.map(|end| {
            let labels = vec![("outcome", end.label())];
            (labels, figures.speculations[end as usize])
        });
        let help = "Work begun before the turn was over, by what became of it";
        page.counters("voice_agent_speculations", help, speculations.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;
    use crate::turn::{ReplyOutcome, TurnId, TurnSource};

    fn at(ms: u64) -> Option<SessionTime> {
        Some(SessionTime::after_start(Duration::from_millis(ms)))
    }

    fn turn(user: &str) -> Turn {
        Turn {
            id: TurnId(1),
            user: Some(Pii::new(user.to_owned())),
            source: TurnSource::Speech,
            transcript: Pii::new("the words".to_owned()),
            reply: Pii::default(),
            heard: Pii::default(),
            tool_calls: Pii::default(),
            outcome: ReplyOutcome::Finished,
            timeline: Timeline {
                speech_ended: at(10_000),
                transcript_final: at(10_310),
                committed: at(10_500),
                llm_started: at(10_310),
                llm_first_token: at(10_460),
                playout_started: at(10_520),
                permit_wait: Some(Duration::from_millis(20)),
                ..Timeline::default()
            },
        }
    }

    #[test]
    fn the_page_has_each_stage_and_counts_turns_by_outcome_and_source() {
        let figures = TurnFigures::default();
        figures.turn_ended(&turn("ann"));
        for end in [
            SpeculationEnd::Used,
            SpeculationEnd::Dropped,
            SpeculationEnd::Dropped,
            SpeculationEnd::Unheard,
        ] {
            figures.speculation_ended(end);
        }
        let mut metrics = Metrics::default();
        metrics.register(Box::new(figures));
        let page = metrics.render();
        for row in [
            "voice_agent_turn_transcription_delay_seconds_count 1",
            "voice_agent_turn_end_of_turn_delay_seconds_bucket{le=\"0.5\"} 1",
            "voice_agent_turn_end_of_turn_delay_seconds_bucket{le=\"0.4\"} 0",
            "voice_agent_turn_llm_ttft_seconds_sum 0.15",
            "voice_agent_turn_tts_ttfb_seconds_count 0",
            "voice_agent_turn_first_token_seconds_sum 0.46",
            "voice_agent_turn_first_audio_seconds_count 0",
            "voice_agent_turn_e2e_latency_seconds_sum 0.52",
            "voice_agent_turn_permit_wait_seconds_sum 0.02",
            "voice_agent_turns_total{outcome=\"finished\",source=\"speech\"} 1",
            "voice_agent_speculations_total{outcome=\"used\"} 1",
            "voice_agent_speculations_total{outcome=\"dropped\"} 2",
            "voice_agent_speculations_total{outcome=\"unheard\"} 1",
        ] {
            assert!(page.lines().any(|line| line == row), "{row} not in\n{page}");
        }
    }

    #[test]
    fn the_last_turns_are_a_users_own_and_hold_no_words() {
        let figures = TurnFigures::default();
        figures.turn_ended(&turn("ann"));
        figures.turn_ended(&turn("bob"));
        figures.turn_ended(&turn("ann"));
        assert_eq!(figures.recent("ann", 0).len(), 2);
        let new = figures.recent("ann", 1);
        assert_eq!(new.len(), 1);
        let json = serde_json::to_value(&new[0]).unwrap();
        assert_eq!(json["number"], 3);
        assert_eq!(json["transcript_ms"], 310);
        assert_eq!(json["playout_started_ms"], 520);
        assert_eq!(json["permit_wait_ms"], 20);
        assert!(json["tts_started_ms"].is_null());
        let json = json.to_string();
        assert!(!json.contains("words") && !json.contains("ann"), "{json}");
    }

    #[test]
    fn only_so_many_turns_are_kept() {
        let figures = TurnFigures::default();
        for _ in 0..RECENT_MAX + 10 {
            figures.turn_ended(&turn("ann"));
        }
        let recent = figures.recent("ann", 0);
        assert_eq!(recent.len(), RECENT_MAX);
        assert_eq!(recent[0].number, 11);
    }
}
