//! What the integration tests share: real servers on free ports, and ways to wait with a deadline.

pub(crate) mod jobs;
pub(crate) mod left;
pub(crate) mod livekit;
pub(crate) mod log;
pub(crate) mod names;
pub(crate) mod redis;
pub(crate) mod running;
pub(crate) mod toxiproxy;

pub(crate) use real_parts::{eventually, free_port, postgres, postgrest, tool, within};
