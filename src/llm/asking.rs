//! One answer of a service that may refuse parts of our requests: asked, and asked differently, within the
//! same attempt and deadline.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;

use super::Config;
use super::compatibility::{Next, Parts, Search, Shape};
use crate::error::{CallError, ErrorKind};
use crate::pool::{ConnectionPool, Endpoint, Refusal};

/// A model at an endpoint, and what is known of it.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) pool: ConnectionPool,
    pub(super) endpoint: Endpoint,
    pub(super) config: Config,
}

/// What is asked.
pub(super) trait Question: Send {
    /// The body of the request in a shape. Parts of it that a service may refuse are added to `sent`.
    fn body(&self, shape: &Shape, sent: &mut Parts) -> serde_json::Result<Bytes>;

    /// Leaves out some of a conversation that is too long; `false` when nothing can be left out.
    fn shorten(&mut self) -> bool;
}

impl Service {
    /// Host and model: what belongs to one of them is refused by another.
    pub(super) fn origin(&self) -> Arc<str> {
        format!("{} {}", self.endpoint.host(), self.config.model).into()
    }

    /// Asks until the service answers or nothing helps; `send` makes one request. The error is that of the
    /// first request, as the later ones ask for less.
    pub(super) async fn ask<T>(
        &self,
        mut question: impl Question,
        send: impl Fn(Bytes, Shape) -> BoxFuture<'static, Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let known = self.shape();
        let mut search = Search::new(known, self.config.compatibility.fixed());
        let mut first_error = None;
        loop {
            let (shape, mut sent) = (search.asked(), Parts::default());
            let body = question.body(&shape, &mut sent);
            let body = body.map_err(|error| self.unsendable(error))?;
            let error = match send(body, shape).await {
                Ok(answer) => {
                    self.learn(&known, &shape);
                    return Ok(answer);
                }
                Err(error) => error,
            };
            let cause = error.cause.as_ref();
            let Some(refusal) = cause.and_then(|cause| cause.downcast_ref::<Refusal>()) else {
                if error.kind == ErrorKind::Empty {
                    // An answer all the same: the shape was taken.
                    self.learn(&known, &shape);
                }
                return Err(error);
            };
            let code = refusal.to_string();
            let is_fruitless = self
                .pool
                .is_fruitless(&self.endpoint, &self.config.model, &code);
            let next = search.refused(refusal, error.kind, sent, is_fruitless);
            let is_over = match next {
                Next::Ask(_) => false,
                Next::Shorten => !question.shorten(),
                Next::GiveUp => true,
            };
            let error = first_error.take().unwrap_or(error);
            if is_over {
                if search.has_searched() {
                    self.pool.give_up(&self.endpoint, &self.config.model, &code);
                }
                return Err(error);
            }
            first_error = Some(error);
        }
    }

    /// How the service is asked: as the settings say, and as it taught us.
    fn shape(&self) -> Shape {
        let fixed = self.config.compatibility.fixed();
        let learnt = self.pool.learnt(&self.endpoint, &self.config.model);
        let shape = self.config.compatibility.shape();
        super::compatibility::Part::ALL
            .into_iter()
            .filter(|part| !fixed.has(*part))
            .filter_map(|part| Some((part, *learnt.get(part.name())?)))
            .fold(shape, |shape, (part, value)| shape.with(part, value))
    }

    fn learn(&self, known: &Shape, taken: &Shape) {
        for (part, value) in taken.changes_from(known) {
            let model = &self.config.model;
            self.pool.learn(&self.endpoint, model, part.name(), value);
        }
    }

    fn unsendable(&self, error: serde_json::Error) -> CallError {
        let service = self.endpoint.service();
        CallError::new(service, "chat", ErrorKind::Rejected).because(error)
    }
}
