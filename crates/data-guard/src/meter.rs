//! How much each participant and the whole connection may still send.

use std::collections::HashMap;
use std::time::Instant;

use crate::bucket::Bucket;
use crate::counts::Kind;
use crate::limits::{self, Rates};

#[derive(Debug)]
struct Meter {
    messages: Bucket,
    bytes: Bucket,
    rpc: Bucket,
}

impl Meter {
    fn new(now: Instant, rates: Rates) -> Self {
        Self {
            messages: Bucket::full(now, rates.messages_per_s, rates.messages_burst),
            bytes: Bucket::full(now, rates.bytes_per_s, rates.bytes_burst),
            rpc: Bucket::full(now, limits::RPC_PER_S, limits::RPC_BURST),
        }
    }

    fn check(&mut self, now: Instant, n_bytes: usize) -> Result<(), Kind> {
        if self.messages.level(now) < 1.0 {
            return Err(Kind::Message);
        }
        if self.bytes.level(now) < n_bytes as f64 {
            return Err(Kind::Bytes);
        }
        Ok(())
    }

    fn take(&mut self, n_bytes: usize) {
        self.messages.take(1.0);
        self.bytes.take(n_bytes as f64);
    }

    fn is_full(&mut self, now: Instant) -> bool {
        self.messages.is_full(now) && self.bytes.is_full(now) && self.rpc.is_full(now)
    }
}

/// The rates of one connection and of its participants.
#[derive(Debug)]
pub(crate) struct Meters {
    all: Meter,
    senders: HashMap<String, Meter>,
}

impl Meters {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            all: Meter::new(now, limits::CONNECTION),
            senders: HashMap::new(),
        }
    }

    /// Accounts for a message, or says which rate it exceeds; it then costs nothing.
    pub(crate) fn admit(
        &mut self,
        now: Instant,
        sender: &str,
        n_bytes: usize,
        is_rpc: bool,
    ) -> Result<(), Kind> {
        self.make_room(now, sender)?;
        let own = (self.senders)
            .entry(sender.to_owned())
            .or_insert_with(|| Meter::new(now, limits::SENDER));
        own.check(now, n_bytes)?;
        self.all.check(now, n_bytes)?;
        if is_rpc {
            if own.rpc.level(now) < 1.0 {
                return Err(Kind::Rpc);
            }
            own.rpc.take(1.0);
        }
        own.take(n_bytes);
        self.all.take(n_bytes);
        Ok(())
    }

    /// A participant whose buckets are full is as good as a new one and need not be remembered.
    fn make_room(&mut self, now: Instant, sender: &str) -> Result<(), Kind> {
        if self.senders.len() < limits::SENDERS_MAX || self.senders.contains_key(sender) {
            return Ok(());
        }
        self.senders.retain(|_, meter| !meter.is_full(now));
        if self.senders.len() < limits::SENDERS_MAX {
            Ok(())
        } else {
            Err(Kind::Message)
        }
    }

    /// How many bytes more a message of this participant may become by inflating it.
    pub(crate) fn bytes_left(&mut self, now: Instant, sender: &str) -> usize {
        let own = (self.senders.get_mut(sender)).map_or(0.0, |meter| meter.bytes.level(now));
        own.min(self.all.bytes.level(now)) as usize
    }

    /// Accounts for bytes that a message became, or for a trailer, which passes at any rate.
    pub(crate) fn charge(&mut self, sender: &str, n_bytes: usize) {
        if let Some(own) = self.senders.get_mut(sender) {
            own.bytes.take(n_bytes as f64);
        }
        self.all.bytes.take(n_bytes as f64);
    }

    #[cfg(test)]
    pub(crate) fn n_senders(&self) -> usize {
        self.senders.len()
    }
}
