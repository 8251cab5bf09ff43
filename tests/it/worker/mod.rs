//! The worker against a real LiveKit server, and against one that misbehaves.

mod direct;
mod dispatch;
mod drain;
mod failure;
mod hostile;
mod reconnect;
