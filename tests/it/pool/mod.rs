//! The pool and the providers on it, over real HTTP.

pub(crate) mod aimock;
mod background;
mod cleanup;
mod clients;
mod counted;
pub(crate) mod excess;
mod fallback;
mod faults;
mod health;
mod limits;
mod names;
mod outage;
mod outages;
mod pacing;
mod pooling;
mod privacy;
mod realtime_fallback;
mod realtime_stt;
mod secure;
pub(crate) mod stages;
mod streams;
mod unmade;
mod wire;
