//! voxpool: a LiveKit voice-agent worker. One process serves every call on pooled connections.
//!
//! In reading order, from the program's edge to its plain core; imports point downwards only:
//!
//! - [`cli`] → [`config`] → [`telemetry`] → [`app`], [`stages`], [`check`] and [`forget`]: what the
//!   user typed, what the program means, what operators see, the parts put together.
//! - [`runtime`]: the async runtime, and how it ends.
//! - [`console`]: a conversation by text in the terminal; [`playground`]: one by voice in a browser.
//! - [`dispatch`]: LiveKit's dispatch service, for apps that ask this worker for an agent.
//! - [`worker`]: registration with LiveKit, admission, jobs, drain. Knows no session.
//! - [`agent`]: one job from entry to end, in order.
//! - [`session`]: one conversation: a loop over one closed enum of events.
//! - [`room`], [`tools`], [`stt`], [`llm`], [`tts`], [`memory`]: each outside thing behind a small trait.
//! - [`overview`]: what the calls share, for those who ask: tools, RPC methods, `/pool`.
//! - [`cache`]: results worth keeping, in this process and in Redis.
//! - [`pool`]: the shared clients and the one way out of the process.
//! - [`host`]: CPU, memory and file descriptors that the process may use.
//! - [`arrival`], `bucket`, [`intake`], [`excess`], [`participant`], [`audio`], [`turn`], [`chat`],
//!   [`text`], [`redact`], [`error`]: plain code without I/O or clocks.

pub mod app;
pub mod check;
pub mod cli;
pub mod config;
pub mod console;
pub mod dispatch;
pub mod forget;
pub mod playground;
pub mod runtime;
pub mod stages;
pub mod telemetry;

pub mod worker;

pub mod agent;
pub mod session;

pub mod llm;
pub mod memory;
pub mod room;
pub mod stt;
pub mod tools;
pub mod tts;

pub mod overview;

pub mod cache;
pub mod pool;

pub mod host;

pub mod arrival;
pub mod audio;
mod bucket;
pub mod chat;
pub mod error;
pub mod excess;
pub mod intake;
pub mod participant;
pub mod redact;
pub mod text;
mod tls;
pub mod turn;
pub mod units;
