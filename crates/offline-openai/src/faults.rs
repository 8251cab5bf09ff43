//! Trouble on demand: which fault the next request of an endpoint gets.
//!
//! Rules come from `--fault`, from `POST /faults` and from [`crate::ServerHandle::fail`]; each covers the
//! next so many requests. A request may also ask for its own fault with the header `x-fault`. How each
//! fault looks on the wire is in `routes/trouble.rs`.

use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::stats::Endpoint;

/// Rules kept at once; more are refused.
const RULES_MAX: usize = 100;

/// The kinds of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// 401 as for a wrong key.
    Unauthorized,
    /// 429 with `Retry-After`.
    RateLimited,
    /// 429 with code `insufficient_quota`: waiting does not help.
    QuotaExceeded,
    /// 500.
    ServerError,
    /// 200 with JSON that breaks off, or a stream with such an event.
    Malformed,
    /// The connection breaks in the middle of the answer.
    Cut,
    /// The answer stops in the middle and the connection stays open.
    Stall,
    /// No answer at all.
    Hang,
    /// A transcription without words; other endpoints answer as usual.
    EmptyTranscript,
}

/// One fault, as it happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// What a 429 says in `Retry-After`, in seconds.
    pub retry_after_s: u64,
}

/// Which requests a rule covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultTarget {
    /// Every endpoint.
    Any,
    /// See [`Endpoint::Chat`].
    Chat,
    /// See [`Endpoint::Transcriptions`].
    Transcriptions,
    /// See [`Endpoint::Speech`].
    Speech,
    /// See [`Endpoint::Models`].
    Models,
    /// See [`Endpoint::Realtime`].
    Realtime,
    /// See [`Endpoint::Responses`].
    Responses,
}

impl FaultTarget {
    fn covers(self, endpoint: Endpoint) -> bool {
        match self {
            Self::Any => true,
            Self::Chat => endpoint == Endpoint::Chat,
            Self::Transcriptions => endpoint == Endpoint::Transcriptions,
            Self::Speech => endpoint == Endpoint::Speech,
            Self::Models => endpoint == Endpoint::Models,
            Self::Realtime => endpoint == Endpoint::Realtime,
            Self::Responses => endpoint == Endpoint::Responses,
        }
    }
}

/// A fault for the next requests of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// Whose requests.
    pub endpoint: FaultTarget,
    /// What happens to them.
    pub kind: FaultKind,
    /// How many of them.
    #[serde(default = "one")]
    pub count: u64,
    /// What a 429 says in `Retry-After`, in seconds.
    #[serde(default = "one")]
    pub retry_after_s: u64,
}

fn one() -> u64 {
    1
}

/// Reads `ENDPOINT:KIND[:COUNT[:RETRY_AFTER_S]]`, such as `chat:rate_limited:3:2`.
impl FromStr for FaultRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(':');
        let (Some(endpoint), Some(kind)) = (parts.next(), parts.next()) else {
            return Err("write ENDPOINT:KIND[:COUNT[:RETRY_AFTER_S]]".to_owned());
        };
        let rule = Self {
            endpoint: named(endpoint)?,
            kind: named(kind)?,
            count: number(parts.next())?,
            retry_after_s: number(parts.next())?,
        };
        match parts.next() {
            Some(_) => Err("more than four parts".to_owned()),
            None => Ok(rule),
        }
    }
}

/// Reads `KIND[:RETRY_AFTER_S]`, the header's form.
impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, retry_after_s) = match text.split_once(':') {
            Some((kind, seconds)) => (kind, Some(seconds)),
            None => (text, None),
        };
        Ok(Self {
            kind: named(kind)?,
            retry_after_s: number(retry_after_s)?,
        })
    }
}

/// The variant that serde calls `name`; the error lists the names there are.
fn named<T: for<'a> Deserialize<'a>>(name: &str) -> Result<T, String> {
    let name = serde::de::value::StrDeserializer::<serde::de::value::Error>::new(name.trim());
    T::deserialize(name).map_err(|error| error.to_string())
}

fn number(text: Option<&str>) -> Result<u64, String> {
    let Some(text) = text else { return Ok(1) };
    text.trim()
        .parse()
        .map_err(|_| format!("`{text}` is not a number"))
}

/// The rules that are still to be used up, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    rules: Mutex<Vec<FaultRule>>,
}

impl Faults {
    pub(crate) fn new(rules: Vec<FaultRule>) -> Self {
        Self {
            rules: Mutex::new(rules),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<FaultRule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a rule behind the others; false when there are too many.
    pub(crate) fn add(&self, rule: FaultRule) -> bool {
        let mut rules = self.lock();
        let fits = rules.len() < RULES_MAX;
        if fits {
            rules.push(rule);
        }
        fits
    }

    /// The fault of a request that has just come in.
    pub(crate) fn take(&self, endpoint: Endpoint) -> Option<Fault> {
        let mut rules = self.lock();
        rules.retain(|rule| rule.count > 0);
        let rule = rules
            .iter_mut()
            .find(|rule| rule.endpoint.covers(endpoint))?;
        rule.count -= 1;
        Some(Fault {
            kind: rule.kind,
            retry_after_s: rule.retry_after_s,
        })
    }

    /// What is still to come.
    pub(crate) fn pending(&self) -> Vec<FaultRule> {
        self.lock()
            .iter()
            .copied()
            .filter(|rule| rule.count > 0)
            .collect()
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_from_their_short_form() {
        let rule = |endpoint, kind, count, retry_after_s| {
            Ok(FaultRule {
                endpoint,
                kind,
                count,
                retry_after_s,
            })
        };
        use FaultKind::{Cut, RateLimited};
        use FaultTarget::{Any, Chat};
        assert_eq!("chat:cut".parse(), rule(Chat, Cut, 1, 1));
        assert_eq!(
            "any:rate_limited:3:20".parse(),
            rule(Any, RateLimited, 3, 20)
        );
        for wrong in [
            "",
            "chat",
            "chat:explode",
            "tv:cut",
            "chat:cut:x",
            "chat:cut:1:2:3",
        ] {
            assert!(wrong.parse::<FaultRule>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_fault_header_is_a_kind_and_perhaps_seconds() {
        let fault = Fault {
            kind: FaultKind::RateLimited,
            retry_after_s: 7,
        };
        assert_eq!("rate_limited:7".parse(), Ok(fault));
        assert_eq!(
            "hang".parse::<Fault>().map(|fault| fault.kind),
            Ok(FaultKind::Hang)
        );
        let message = "explode".parse::<Fault>().unwrap_err();
        assert!(message.contains("rate_limited"), "{message}");
    }

    #[test]
    fn a_rule_covers_so_many_requests_of_its_endpoint() {
        let faults = Faults::new(vec!["chat:cut:2".parse().unwrap()]);
        faults.add("any:hang".parse().unwrap());
        let take = |endpoint| faults.take(endpoint).map(|fault| fault.kind);
        assert_eq!(take(Endpoint::Chat), Some(FaultKind::Cut));
        assert_eq!(take(Endpoint::Speech), Some(FaultKind::Hang));
        assert_eq!(take(Endpoint::Speech), None);
        assert_eq!(take(Endpoint::Chat), Some(FaultKind::Cut));
        assert_eq!(take(Endpoint::Chat), None);
        assert!(faults.pending().is_empty());
    }

    #[test]
    fn rules_are_limited() {
        let faults = Faults::default();
        let rule = "any:cut".parse().unwrap();
        assert_eq!(
            (0..RULES_MAX + 5).filter(|_| faults.add(rule)).count(),
            RULES_MAX
        );
        faults.clear();
        assert!(faults.pending().is_empty());
    }
}
