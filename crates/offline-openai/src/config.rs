//! What a server can be told when it starts.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::faults::FaultRule;

/// How a server behaves. The default listens on a free port of the loopback interface, takes any key
/// and speaks and hears with real engines.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address to listen on.
    pub host: IpAddr,
    /// The port to listen on; 0 takes a free one.
    pub port: u16,
    /// The only key that is let in; with `None` every request is.
    pub api_key: Option<String>,
    /// Answers 404 to a model that is not in the list of models.
    pub strict_models: bool,
    /// Gives these answers instead of real ones.
    pub fixed: Option<Fixed>,
    /// Waits before answering, in both modes.
    pub delays: Delays,
    /// Sounds transcribed at once, and recogniser processes kept warm (about 60 MB each).
    pub recognisers: usize,
    /// Trouble to make from the start.
    pub faults: Vec<FaultRule>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            api_key: None,
            strict_models: false,
            fixed: None,
            delays: Delays::default(),
            recognisers: 2,
            faults: Vec::new(),
        }
    }
}

/// The answers of fixed mode.
#[derive(Debug, Clone)]
pub struct Fixed {
    /// What every transcription says.
    pub transcript: String,
    /// What every chat completion says; with `None` the rules answer, as they do outside fixed mode.
    pub reply: Option<String>,
    /// The tone that is every speech, in hertz.
    pub tone_hz: f64,
    /// How long that tone lasts.
    pub tone: Duration,
}

impl Default for Fixed {
    fn default() -> Self {
        Self {
            transcript: "hello there".to_owned(),
            reply: None,
            tone_hz: 440.0,
            tone: Duration::from_secs(2),
        }
    }
}

/// How long the server waits before it answers, on top of the work itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Delays {
    /// Before a transcript.
    pub stt: Duration,
    /// Before the first piece of a chat completion.
    pub llm_first_token: Duration,
    /// Before each further piece.
    pub llm_token: Duration,
    /// Before the first byte of speech.
    pub tts_first_byte: Duration,
}
