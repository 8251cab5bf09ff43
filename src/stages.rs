//! The stages of a conversation, as the settings say: who listens, thinks and speaks, and who takes
//! over from whom. `app` builds its agent of them, `check` tries them.

use std::sync::Arc;

use anyhow::Context;

use crate::config::Config;
use crate::llm::openai::OpenAiLlm;
use crate::llm::{FallbackLlm, FallbackStructuredLlm, Llm, OpenAiStructuredLlm, StructuredLlm};
use crate::pool::{ConnectionPool, Endpoint};
use crate::session::realtime::RealtimeModel;
use crate::stt::openai::OpenAiStt;
use crate::stt::{FallbackStt, Stt};
use crate::tts::openai::OpenAiTts;
use crate::tts::{FallbackTts, Tts};

/// Who does what.
pub struct Stages {
    /// Hears words.
    pub stt: Arc<dyn Stt>,
    /// Finds the answer.
    pub llm: Arc<dyn Llm>,
    /// Speaks.
    pub tts: Arc<dyn Tts>,
    /// Does all of it at once, if calls are held that way.
    pub realtime: Option<RealtimeModel>,
    /// All endpoints, each with what it is for, such as `stt` or `tts, fallback 1`.
    pub endpoints: Vec<(String, Endpoint)>,
}

impl Stages {
    /// Builds every stage on the pool.
    ///
    /// # Errors
    /// When an address or a key cannot be used; says which.
    pub fn new(config: &Config, pool: &ConnectionPool) -> anyhow::Result<Self> {
        let shared = &config.openai;
        let stt = OpenAiStt::all(pool, shared, &config.stt).context("stt")?;
        let llm = OpenAiLlm::all(pool, shared, &config.llm).context("llm")?;
        let tts = OpenAiTts::all(pool, shared, &config.tts).context("tts")?;
        let realtime = (config.realtime.enabled)
            .then(|| RealtimeModel::new(pool, shared, &config.realtime, &config.stt.language))
            .transpose()
            .context("realtime")?;
        let endpoints = named("stt", stt.iter().map(OpenAiStt::endpoint))
            .chain(named("llm", llm.iter().map(OpenAiLlm::endpoint)))
            .chain(named("tts", tts.iter().map(OpenAiTts::endpoint)))
            .chain(named(
                "realtime",
                realtime.iter().flat_map(RealtimeModel::endpoints),
            ))
            .collect();
        Ok(Self {
            stt: match only(stt) {
                Ok(stt) => stt.in_mode(),
                Err(all) => Arc::new(FallbackStt::new(pool.clone(), all)),
            },
            llm: match only(llm) {
                Ok(llm) => Arc::new(llm),
                Err(all) => Arc::new(FallbackLlm::new(pool.clone(), all)),
            },
            tts: match only(tts) {
                Ok(tts) => Arc::new(tts),
                Err(all) => Arc::new(FallbackTts::new(pool.clone(), all)),
            },
            realtime,
            endpoints,
        })
    }
}

/// Finds what is worth remembering: one for the process, whatever its agents are.
///
/// # Errors
/// When an address or a key cannot be used.
pub fn extraction(
    config: &Config,
    pool: &ConnectionPool,
) -> anyhow::Result<Arc<dyn StructuredLlm>> {
    let recorder = &config.memory.recorder;
    let (model, timeout) = (&recorder.extraction_model, recorder.extraction_timeout);
    let all = OpenAiStructuredLlm::all(pool, &config.openai, &config.llm, model, timeout)
        .context("llm, for memory.recorder")?;
    Ok(match only(all) {
        Ok(llm) => Arc::new(llm),
        Err(all) => Arc::new(FallbackStructuredLlm::new(pool.clone(), all)),
    })
}

/// The one there is, or all of them.
fn only<T>(mut all: Vec<T>) -> Result<T, Vec<T>> {
    match (all.pop(), all.is_empty()) {
        (Some(one), true) => Ok(one),
        (last, _) => {
            all.extend(last);
            Err(all)
        }
    }
}

fn named<'a>(
    stage: &'static str,
    endpoints: impl Iterator<Item = &'a Endpoint>,
) -> impl Iterator<Item = (String, Endpoint)> {
    endpoints.enumerate().map(move |(place, endpoint)| {
        let name = match place {
            0 => stage.to_owned(),
            n => format!("{stage} fallback {n}"),
        };
        (name, endpoint.clone())
    })
}
