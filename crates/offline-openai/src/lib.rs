//! A stand-in for an OpenAI-compatible service, for development and tests: **not an AI**.
//!
//! It answers chat completions from a small set of rules, transcribes with pocketsphinx and speaks with
//! flite, over the same HTTP API, so that a voice agent can be tried on a machine without network or
//! key. Fixed mode answers everything with given values and delays, for measurements. `/stats` counts
//! connections and requests, and faults can be asked for, so that pooling and trouble can be tested.
//!
//! In reading order: [`Config`], [`Server`], the endpoints (`chat`, `transcriptions`, `speech`,
//! `realtime`, `models`), what answers them (`brain`, `engine`), and what stands around them (`stats`, `faults`).
//!
//! **Invariant:** nothing here is used by the worker itself; it knows this crate over HTTP only.

pub mod audio;
pub mod brain;
mod chat;
mod config;
mod engine;
mod error;
mod faults;
mod ids;
mod models;
mod realtime;
mod routes;
mod sentences;
mod server;
mod speech;
mod stats;
mod transcriptions;

pub use config::{Config, Delays, Fixed};
pub use engine::EngineError;
pub use faults::{Fault, FaultKind, FaultRule, FaultTarget};
pub use server::{Server, ServerHandle, StartError};
pub use stats::{ConnectionStats, Endpoint, EndpointStats, EndpointsStats, StatsSnapshot};

/// What this program is, in one line; every start-up line and `--help` say it.
pub const STAND_IN: &str = "offline stand-in for OpenAI, for development and tests: not an AI";
