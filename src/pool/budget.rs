//! What is used of every limit, and by whom. Plain code.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::adaptive::Sample;
use super::config::Config;
use super::gate::Key;
use super::spec::Priority;
use super::urgency::{CallerId, Urgency};
use super::usage::{Host, Line, Rules};

/// Hosts and services remembered before those that are idle are forgotten.
const REMEMBERED_MAX: usize = 64;

/// A request that wants a permit.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) key: Key,
    pub(super) caller: Option<CallerId>,
    pub(super) urgency: Urgency,
}

/// What a request with a permit holds. It must be given back with [`Budget::end`].
#[derive(Debug)]
pub(super) struct Holding {
    ask: Ask,
    connection: Connection,
    is_asking: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connection {
    /// The service has connections of its own.
    None,
    /// No other request uses it meanwhile.
    Own,
    /// A stream on one that is shared.
    Stream,
}

/// All limits and what is used of them.
pub(super) struct Budget {
    pub(super) rules: Rules,
    lines: HashMap<Key, Line>,
    pub(super) hosts: HashMap<Arc<str>, Host>,
    /// Connections to all hosts together, and requests in the background at all of them.
    pub(super) connections: usize,
    pub(super) background: usize,
    /// Requests at hosts that callers wait for and that wait for a permit.
    urgent: usize,
}

impl Holding {
    pub(super) fn key(&self) -> &Key {
        &self.ask.key
    }

    pub(super) fn caller(&self) -> Option<CallerId> {
        self.ask.caller
    }

    /// Whether it holds what others could want: over HTTP/2 an answer that has begun does not.
    #[cfg(test)]
    pub(super) fn is_scarce(&self) -> bool {
        self.is_asking || self.connection == Connection::Own
    }
}

impl Ask {
    /// Whether a caller waits for it in any case.
    pub(super) fn is_urgent(&self) -> bool {
        self.urgency < Urgency::Speculation
    }
}

impl Budget {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            rules: Rules::new(config),
            lines: HashMap::new(),
            hosts: HashMap::new(),
            connections: 0,
            background: 0,
            urgent: 0,
        }
    }

    /// The answer has begun: others may ask.
    pub(super) fn begun(&mut self, holding: &mut Holding) {
        if !std::mem::take(&mut holding.is_asking) {
            return;
        }
        if let Some(line) = self.lines.get_mut(&holding.ask.key) {
            line.asking -= 1;
        }
        if holding.connection == Connection::Stream {
            self.let_go(&holding.ask);
        }
    }

    /// Takes everything back.
    pub(super) fn end(&mut self, mut holding: Holding) {
        self.begun(&mut holding);
        let Holding {
            ask, connection, ..
        } = holding;
        let streams_max = self.rules.streams_max;
        let Some(host) = (ask.key.host.as_ref()).and_then(|name| self.hosts.get_mut(name)) else {
            return;
        };
        let before = host.connections(streams_max);
        match connection {
            Connection::None => return,
            Connection::Own => host.own -= 1,
            Connection::Stream => host.streams -= 1,
        }
        self.connections -= before - host.connections(streams_max);
        if ask.key.priority == Priority::Background {
            host.background -= 1;
            self.background -= 1;
        }
        if connection == Connection::Own {
            self.let_go(&ask);
        }
    }

    /// Takes the outcome of a request that got its permit at `began`, and moves the limit.
    pub(super) fn settle(
        &mut self,
        ask: (&Key, Option<CallerId>),
        operation: &'static str,
        sample: Sample,
        began: Instant,
        now: Instant,
    ) {
        let Some(line) = self.lines.get_mut(ask.0) else {
            return;
        };
        let wanted = line.asking + line.urgent;
        if let Some(adaptive) = &mut line.adaptive {
            adaptive.settle(operation, sample, ask.1, (began, now), wanted);
        }
    }

    /// Takes note of how a host answers: over HTTP/2 requests share connections. Returns whether that
    /// is new.
    pub(super) fn answered(&mut self, host: &Arc<str>, is_http2: bool) -> bool {
        let host = self.hosts.get_mut(host);
        host.is_some_and(|host| std::mem::replace(&mut host.is_http2, is_http2) != is_http2)
    }

    /// The adaptive limit of a line, and how much of it is used.
    pub(super) fn limit(&self, key: &Key) -> Option<(usize, usize)> {
        let line = self.lines.get(key)?;
        Some((line.adaptive.as_ref()?.limit(), line.asking))
    }

    /// Requests that wait for the beginning of their answer, at hosts.
    pub(super) fn n_asking(&self) -> usize {
        let at_hosts = self.lines.iter().filter(|(key, _)| key.host.is_some());
        at_hosts.map(|(_, line)| line.asking).sum()
    }

    /// Whether a request could have its permit now.
    pub(super) fn is_free(&self, ask: &Ask) -> bool {
        let for_this = |limit: usize| match ask.urgency {
            Urgency::Speculation => limit - limit / 4,
            _ => limit,
        };
        let line = &self.lines[&ask.key];
        if line.asking >= for_this(line.limit()) {
            return false;
        }
        let Some(host) = (ask.key.host.as_ref()).and_then(|name| self.hosts.get(name)) else {
            return true;
        };
        let rules = &self.rules;
        let is_background = ask.key.priority == Priority::Background;
        if is_background
            && (host.background >= rules.host_background || self.background >= rules.all_background)
        {
            return false;
        }
        let wanted = host.wanted(rules.streams_max);
        wanted == 0
            || host.connections(rules.streams_max) + wanted <= for_this(rules.host_max)
                && self.connections + wanted <= for_this(rules.all_max)
    }

    /// Whether the caller has as much of the host as it may have while others have less.
    pub(super) fn has_its_share(&self, ask: &Ask) -> bool {
        let host = ask.key.host.as_ref().and_then(|name| self.hosts.get(name));
        let (Some(host), Some(caller)) = (host, ask.caller) else {
            return false;
        };
        let held = host.callers.get(&caller).map_or(0, |part| part.held);
        let connections = match host.is_http2 {
            true => self.rules.host_max * self.rules.streams_max,
            false => self.rules.host_max,
        };
        let all = self.lines[&ask.key].limit().min(connections);
        held > 0 && held >= all / host.callers.len().max(1)
    }

    pub(super) fn hold(&mut self, ask: Ask) -> Holding {
        if let Some(line) = self.lines.get_mut(&ask.key) {
            line.asking += 1;
        }
        let streams_max = self.rules.streams_max;
        let name = ask.key.host.as_ref();
        let connection = match name.and_then(|name| self.hosts.get_mut(name)) {
            None => Connection::None,
            Some(host) => {
                let before = host.connections(streams_max);
                let connection = if host.is_http2 {
                    host.streams += 1;
                    host.streams_seen_max = host.streams_seen_max.max(host.streams);
                    Connection::Stream
                } else {
                    host.own += 1;
                    Connection::Own
                };
                self.connections += host.connections(streams_max) - before;
                host.part(ask.caller, |part| part.held += 1);
                if ask.key.priority == Priority::Background {
                    host.background += 1;
                    self.background += 1;
                }
                connection
            }
        };
        Holding {
            ask,
            connection,
            is_asking: true,
        }
    }

    /// The caller holds one thing less that others could want.
    fn let_go(&mut self, ask: &Ask) {
        if let Some(host) = (ask.key.host.as_ref()).and_then(|name| self.hosts.get_mut(name)) {
            host.part(ask.caller, |part| part.held -= 1);
        }
    }

    pub(super) fn count_waiting(&mut self, ask: &Ask, comes: bool) {
        let change = |count: &mut usize| match comes {
            true => *count += 1,
            false => *count -= 1,
        };
        let is_urgent = ask.is_urgent();
        if let Some(line) = self.lines.get_mut(&ask.key) {
            change(&mut line.waiting);
            if is_urgent {
                change(&mut line.urgent);
            }
        }
        if let Some(host) = (ask.key.host.as_ref()).and_then(|name| self.hosts.get_mut(name)) {
            host.part(ask.caller, |part| change(&mut part.waiting));
            change(&mut host.waiting);
            if is_urgent {
                change(&mut host.urgent);
                change(&mut self.urgent);
            }
        }
    }

    /// The part of the tightest limit that is wanted now where callers wait; above 1 where there is
    /// less than that.
    pub(super) fn wanted(&self, key: &Key) -> f32 {
        let part = |wanted: usize, limit: usize| wanted as f32 / limit.max(1) as f32;
        let line = &self.lines[key];
        let mut wanted = match key.priority {
            Priority::Caller => part(line.asking + line.urgent, line.limit()),
            Priority::Background => 0.0,
        };
        if let Some(host) = key.host.as_ref().and_then(|name| self.hosts.get(name)) {
            let rules = &self.rules;
            let urgent = |urgent: usize| if host.is_http2 { 0 } else { urgent };
            let at_host = host.connections(rules.streams_max) + urgent(host.urgent);
            let at_all = self.connections + urgent(self.urgent);
            wanted = wanted
                .max(part(at_host, rules.host_max))
                .max(part(at_all, rules.all_max));
        }
        wanted
    }

    /// Has a line and a host for what is asked; forgets idle ones when there are too many.
    pub(super) fn remember(&mut self, key: &Key) {
        if self.lines.len() >= REMEMBERED_MAX && !self.lines.contains_key(key) {
            (self.lines).retain(|_, line| line.asking + line.waiting > 0);
        }
        if !self.lines.contains_key(key) {
            self.lines.insert(key.clone(), self.rules.line(key));
        }
        let Some(name) = &key.host else { return };
        if self.hosts.len() >= REMEMBERED_MAX && !self.hosts.contains_key(name) {
            (self.hosts).retain(|_, host| host.own + host.streams + host.waiting > 0);
        }
        self.hosts.entry(Arc::clone(name)).or_default();
    }
}
