//! Whole conversations with a scripted user, room and services, on Tokio's paused clock.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests are tests; the lint only knows test functions"
)]

mod answers;
mod briefing;
mod ends;
mod failures;
mod fakes;
mod greetings;
mod limits;
mod pausing;
mod realtime;
mod scripted;
mod speeches;
mod tools;
mod users;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use voxpool::memory::Briefing;
use voxpool::participant::Participant;
use voxpool::redact::Pii;
use voxpool::room::{RoomEvent, UserChange};
use voxpool::session::{SessionEnd, Settings};
use voxpool::turn::ReplyOutcome;

use fakes::*;
use scripted::*;
