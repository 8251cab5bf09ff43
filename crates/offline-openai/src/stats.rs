//! What is counted: connections at accept, and the requests of each endpoint.
//!
//! The counters answer one question from outside: does the client reuse its connections? Requests to
//! the control pages (`/stats`, `/faults`, `/health`) are not counted, and a connection that carried
//! nothing else is told apart, so that looking does not change what is seen.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

/// The endpoints that are counted and can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `POST /v1/chat/completions`
    Chat,
    /// `POST /v1/audio/transcriptions`
    Transcriptions,
    /// `POST /v1/audio/speech`
    Speech,
    /// `GET /v1/models` and one model
    Models,
    /// `GET /v1/realtime`: sessions
    Realtime,
    /// Answers within a realtime session
    Responses,
}

impl Endpoint {
    /// The endpoint of a path, if it is one of the API's.
    pub(crate) fn of_path(path: &str) -> Option<Self> {
        match path {
            "/v1/chat/completions" => Some(Self::Chat),
            "/v1/audio/transcriptions" => Some(Self::Transcriptions),
            "/v1/audio/speech" => Some(Self::Speech),
            "/v1/realtime" => Some(Self::Realtime),
            _ if path.starts_with("/v1/models") => Some(Self::Models),
            _ => None,
        }
    }
}

/// The counters of one endpoint.
#[derive(Debug, Default)]
struct Counters {
    requests: AtomicU64,
    in_flight: AtomicI64,
    cancelled: AtomicU64,
    faults: AtomicU64,
}

/// All counters of a server.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    accepted: AtomicU64,
    api: AtomicU64,
    open: AtomicI64,
    chat: Counters,
    transcriptions: Counters,
    speech: Counters,
    models: Counters,
    realtime: Counters,
    responses: Counters,
}

impl Stats {
    fn of(&self, endpoint: Endpoint) -> &Counters {
        match endpoint {
            Endpoint::Chat => &self.chat,
            Endpoint::Transcriptions => &self.transcriptions,
            Endpoint::Speech => &self.speech,
            Endpoint::Models => &self.models,
            Endpoint::Realtime => &self.realtime,
            Endpoint::Responses => &self.responses,
        }
    }

    pub(crate) fn connection_opened(&self) {
        self.accepted.fetch_add(1, Relaxed);
        self.open.fetch_add(1, Relaxed);
    }

    pub(crate) fn connection_closed(&self) {
        self.open.fetch_sub(1, Relaxed);
    }

    /// Counts a request, and its connection if it is the first one on it.
    pub(crate) fn request_started(&self, endpoint: Endpoint, connection_used: Option<&AtomicBool>) {
        if connection_used.is_some_and(|used| !used.swap(true, Relaxed)) {
            self.api.fetch_add(1, Relaxed);
        }
        let counters = self.of(endpoint);
        counters.requests.fetch_add(1, Relaxed);
        counters.in_flight.fetch_add(1, Relaxed);
    }

    pub(crate) fn request_ended(&self, endpoint: Endpoint, cancelled: bool) {
        let counters = self.of(endpoint);
        counters.in_flight.fetch_sub(1, Relaxed);
        if cancelled {
            counters.cancelled.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn fault_made(&self, endpoint: Endpoint) {
        self.of(endpoint).faults.fetch_add(1, Relaxed);
    }

    /// Sets to zero what is summed up; what is open or in flight stays.
    pub(crate) fn reset(&self) {
        self.accepted.store(0, Relaxed);
        self.api.store(0, Relaxed);
        let all = [
            &self.chat,
            &self.transcriptions,
            &self.speech,
            &self.models,
            &self.realtime,
            &self.responses,
        ];
        for counters in all {
            counters.requests.store(0, Relaxed);
            counters.cancelled.store(0, Relaxed);
            counters.faults.store(0, Relaxed);
        }
    }

    pub(crate) fn snapshot(&self) -> StatsSnapshot {
        let read = |counters: &Counters| EndpointStats {
            requests: counters.requests.load(Relaxed),
            in_flight: counters.in_flight.load(Relaxed).max(0) as u64,
            cancelled: counters.cancelled.load(Relaxed),
            faults: counters.faults.load(Relaxed),
        };
        let endpoints = EndpointsStats {
            chat: read(&self.chat),
            transcriptions: read(&self.transcriptions),
            speech: read(&self.speech),
            models: read(&self.models),
            realtime: read(&self.realtime),
            responses: read(&self.responses),
        };
        let all = [
            &endpoints.chat,
            &endpoints.transcriptions,
            &endpoints.speech,
            &endpoints.models,
            &endpoints.realtime,
            &endpoints.responses,
        ];
        let sum = |field: fn(&EndpointStats) -> u64| all.iter().map(|stats| field(stats)).sum();
        let total = EndpointStats {
            requests: sum(|stats| stats.requests),
            in_flight: sum(|stats| stats.in_flight),
            cancelled: sum(|stats| stats.cancelled),
            faults: sum(|stats| stats.faults),
        };
        StatsSnapshot {
            stand_in: true,
            connections: ConnectionStats {
                accepted: self.accepted.load(Relaxed),
                api: self.api.load(Relaxed),
                open: self.open.load(Relaxed).max(0) as u64,
            },
            endpoints,
            total,
        }
    }
}

/// The counters at one moment, as `GET /stats` shows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatsSnapshot {
    /// Always true: whoever reads this is not looking at the real service.
    pub stand_in: bool,
    /// TCP connections.
    pub connections: ConnectionStats,
    /// Requests of each endpoint.
    pub endpoints: EndpointsStats,
    /// The sum over the endpoints.
    pub total: EndpointStats,
}

/// TCP connections to the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionStats {
    /// Accepted since the start or the last reset.
    pub accepted: u64,
    /// Of the accepted ones, those that carried a request to an endpoint of the API.
    pub api: u64,
    /// Open now.
    pub open: u64,
}

/// One entry for each endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are the endpoints")]
pub struct EndpointsStats {
    pub chat: EndpointStats,
    pub transcriptions: EndpointStats,
    pub speech: EndpointStats,
    pub models: EndpointStats,
    pub realtime: EndpointStats,
    pub responses: EndpointStats,
}

/// The requests of one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointStats {
    /// Started since the start or the last reset.
    pub requests: u64,
    /// Not ended yet: waiting for an answer or still receiving it.
    pub in_flight: u64,
    /// Given up by the client before the answer was complete.
    pub cancelled: u64,
    /// Answered with trouble that was asked for.
    pub faults: u64,
}
