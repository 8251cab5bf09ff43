//! Calls whose answer is a stream: guarded like any other until the first item, watched after it.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};

use super::ConnectionPool;
use super::call::{Held, Lease};
use super::recorder::Recorder;
use super::spec::CallSpec;
use crate::error::{CallError, ErrorKind};

/// Least idle timeout that makes sense: longer than an answer that is complete may linger.
pub const IDLE_TIMEOUT_MIN: Duration = Duration::from_millis(500);

/// An answer's items.
pub type Items<T> = BoxStream<'static, Result<T, CallError>>;

impl ConnectionPool {
    /// Runs a call whose answer is a stream; nothing happens before the first poll.
    ///
    /// Until the first item the call is one like any other, with its deadline and its retries.
    /// After it nothing is tried again: an item that was passed on cannot be taken back. A silence
    /// longer than `idle_timeout` ends the stream with [`ErrorKind::Timeout`]; after an error there
    /// are no more items. A stream without any item is an answer too.
    ///
    /// Cancel safety: dropping the stream closes its request.
    pub fn stream<T, F, Fut>(&self, spec: CallSpec, idle_timeout: Duration, run: F) -> Items<T>
    where
        T: Send + 'static,
        F: Fn(Lease) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Items<T>, CallError>> + Send + 'static,
    {
        let pool = self.clone();
        let opening = async move {
            match pool.open_stream(spec.clone(), run).await {
                Ok((first, rest, held)) => {
                    let recorder = pool.recorder(spec.service).clone();
                    let watched = watch(rest, held, spec, idle_timeout, recorder);
                    stream::iter(first.map(Ok)).chain(watched).boxed()
                }
                Err(error) => stream::iter([Err(error)]).boxed(),
            }
        };
        stream::once(opening).flatten().boxed()
    }

    async fn open_stream<T, F, Fut>(
        &self,
        spec: CallSpec,
        run: F,
    ) -> Result<(Option<T>, Items<T>, Held), CallError>
    where
        T: Send + 'static,
        F: Fn(Lease) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Items<T>, CallError>> + Send + 'static,
    {
        let in_flight = self.begin(&spec);
        let run = Arc::new(run);
        let opened = self
            .pass(spec, move |lease| {
                let run = Arc::clone(&run);
                async move {
                    // Read on after its first item, which may have been its end.
                    let mut items = run(lease.clone()).await?.fuse();
                    let first = items.next().await.transpose()?;
                    Ok((first, items.boxed(), lease))
                }
            })
            .await?;
        let (first, rest, lease) = opened;
        let held = Held {
            lease,
            _in_flight: in_flight,
        };
        Ok((first, rest, held))
    }
}

/// The items after the first: ends at a silence or an error and counts it.
fn watch<T: Send + 'static>(
    rest: Items<T>,
    held: Held,
    spec: CallSpec,
    idle_timeout: Duration,
    recorder: Recorder,
) -> Items<T> {
    let watched = Some((rest, held));
    stream::unfold(watched, move |watched| {
        let (spec, recorder) = (spec.clone(), recorder.clone());
        async move {
            let (mut rest, held) = watched?;
            let error = match tokio::time::timeout(idle_timeout, rest.next()).await {
                Ok(None) => return None,
                Ok(Some(Ok(item))) => return Some((Ok(item), Some((rest, held)))),
                Ok(Some(Err(error))) => error,
                Err(_) => spec.error(ErrorKind::Timeout),
            };
            recorder.failed(spec.operation, error.kind);
            held.lease.broke_off(error.kind);
            Some((Err(error), None))
        }
    })
    .boxed()
}
