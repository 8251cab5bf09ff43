//! The limits of the pool, and what is used of them at one host. Plain code.

use std::collections::HashMap;

use super::adaptive::Adaptive;
use super::config::Config;
use super::gate::Key;
use super::spec::Priority;
use super::urgency::CallerId;

/// The limits.
#[derive(Clone)]
pub(super) struct Rules {
    pub(super) all_max: usize,
    pub(super) host_max: usize,
    pub(super) streams_max: usize,
    pub(super) all_background: usize,
    pub(super) host_background: usize,
    config: Config,
}

/// Requests of one service to one host, by who waits for them.
pub(super) struct Line {
    pub(super) adaptive: Option<Adaptive>,
    pub(super) asking: usize,
    pub(super) waiting: usize,
    /// Those of them that callers wait for.
    pub(super) urgent: usize,
}

/// The connections to one host.
#[derive(Default)]
pub(super) struct Host {
    pub(super) own: usize,
    pub(super) streams: usize,
    pub(super) streams_seen_max: usize,
    pub(super) background: usize,
    pub(super) is_http2: bool,
    pub(super) waiting: usize,
    pub(super) urgent: usize,
    pub(super) callers: HashMap<CallerId, Part>,
}

/// What one caller has and wants of a host.
#[derive(Default)]
pub(super) struct Part {
    pub(super) held: usize,
    pub(super) waiting: usize,
}

impl Rules {
    pub(super) fn new(config: &Config) -> Self {
        let background = |max: usize| config.background_max.min((max / 2).max(1));
        Self {
            all_max: config.connections_max,
            host_max: config.connections_per_host_max,
            streams_max: config.streams_per_connection_max.max(1),
            all_background: background(config.connections_max),
            host_background: background(config.connections_per_host_max),
            config: config.clone(),
        }
    }

    pub(super) fn line(&self, key: &Key) -> Line {
        let adaptive = || {
            let rules = self.config.adaptive.clone();
            match key.priority {
                Priority::Caller => {
                    let start = match rules.limit_start {
                        0 => self.host_max,
                        start => start,
                    };
                    Adaptive::rising(rules, start)
                }
                Priority::Background => Adaptive::new(rules, self.config.background_max),
            }
        };
        Line {
            adaptive: self.config.adaptive.enabled.then(adaptive),
            asking: 0,
            waiting: 0,
            urgent: 0,
        }
    }
}

impl Host {
    pub(super) fn connections(&self, streams_max: usize) -> usize {
        self.own + self.streams.div_ceil(streams_max)
    }

    /// Connections that one more request takes.
    pub(super) fn wanted(&self, streams_max: usize) -> usize {
        match self.is_http2 {
            true => (self.streams + 1).div_ceil(streams_max) - self.streams.div_ceil(streams_max),
            false => 1,
        }
    }

    #[cfg(test)]
    pub(super) fn is_unused(&self) -> bool {
        self.own + self.streams + self.background + self.waiting + self.urgent == 0
            && self.callers.is_empty()
    }

    pub(super) fn part(&mut self, caller: Option<CallerId>, change: impl FnOnce(&mut Part)) {
        let Some(caller) = caller else { return };
        let part = self.callers.entry(caller).or_default();
        change(part);
        if part.held == 0 && part.waiting == 0 {
            self.callers.remove(&caller);
        }
    }
}

impl Line {
    pub(super) fn limit(&self) -> usize {
        self.adaptive.as_ref().map_or(usize::MAX, Adaptive::limit)
    }
}
