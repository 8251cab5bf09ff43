//! What the user typed.

use std::net::IpAddr;
use std::time::Duration;

use clap::Parser;
use offline_openai::{Config, Delays, FaultRule, Fixed};

/// An offline stand-in for OpenAI, for development and tests: not an AI.
///
/// Chat is answered by simple rules, speech is understood by pocketsphinx and spoken by flite. Point a
/// client at it with OPENAI_BASE_URL=http://127.0.0.1:8100/v1 and any key.
#[derive(Debug, Parser)]
#[command(name = "offline-openai", version)]
pub(crate) struct Flags {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 8100)]
    port: u16,
    /// Let in this key only, and answer 401 to others
    #[arg(long, value_name = "KEY")]
    api_key: Option<String>,
    /// Answer 404 to models that are not in /v1/models
    #[arg(long)]
    strict_models: bool,
    /// Sounds transcribed at once, and processes kept warm for it
    #[arg(long, value_name = "N", default_value_t = 2)]
    recognisers: usize,
    /// Make trouble: ENDPOINT:KIND[:COUNT[:RETRY_AFTER_S]], may be repeated
    #[arg(long = "fault", value_name = "FAULT")]
    faults: Vec<FaultRule>,

    /// Give fixed answers, without speech programs
    #[arg(long)]
    pub(crate) fixed: bool,
    /// What every transcription says
    #[arg(long, requires = "fixed", value_name = "TEXT")]
    transcript: Option<String>,
    /// What every chat completion says; without it the rules answer
    #[arg(long, requires = "fixed", value_name = "TEXT")]
    reply: Option<String>,
    /// The tone that is all speech
    #[arg(long, requires = "fixed", value_name = "HZ")]
    tone_hz: Option<f64>,
    /// How long the tone lasts
    #[arg(long, requires = "fixed", value_name = "MS")]
    tone_ms: Option<u64>,

    /// Wait before each transcript
    #[arg(long, value_name = "MS", default_value_t = 0)]
    stt_delay_ms: u64,
    /// Wait before the first piece of each chat completion
    #[arg(long, value_name = "MS", default_value_t = 0)]
    llm_first_token_delay_ms: u64,
    /// Wait before each further piece
    #[arg(long, value_name = "MS", default_value_t = 0)]
    llm_token_delay_ms: u64,
    /// Wait before the first byte of speech
    #[arg(long, value_name = "MS", default_value_t = 0)]
    tts_first_byte_delay_ms: u64,
}

impl Flags {
    /// What the flags mean.
    pub(crate) fn into_config(self) -> Config {
        let usual = Fixed::default();
        let fixed = self.fixed.then(|| Fixed {
            transcript: self.transcript.unwrap_or(usual.transcript),
            reply: self.reply,
            tone_hz: self.tone_hz.unwrap_or(usual.tone_hz),
            tone: self.tone_ms.map_or(usual.tone, Duration::from_millis),
        });
        let delays = Delays {
            stt: Duration::from_millis(self.stt_delay_ms),
            llm_first_token: Duration::from_millis(self.llm_first_token_delay_ms),
            llm_token: Duration::from_millis(self.llm_token_delay_ms),
            tts_first_byte: Duration::from_millis(self.tts_first_byte_delay_ms),
        };
        Config {
            host: self.host,
            port: self.port,
            api_key: self.api_key,
            strict_models: self.strict_models,
            fixed,
            delays,
            recognisers: self.recognisers,
            faults: self.faults,
        }
    }
}
