//! When the worker has to go: the process's signals as a stream of [`Stop`]s.

use futures::stream::{BoxStream, StreamExt};

/// How the worker has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Take no new jobs, let the running ones end by themselves within the drain's time.
    Drain,
    /// End the running jobs now. They may still take what a termination gives them, to save what was
    /// said; told once more, the worker cuts them off.
    Now,
}

/// SIGTERM and SIGINT: the first drains, or stops when there is no drain; every further one stops.
///
/// # Errors
/// When the signals cannot be listened to.
pub fn signals(is_drained: bool) -> std::io::Result<BoxStream<'static, Stop>> {
    let first = if is_drained { Stop::Drain } else { Stop::Now };
    let stops =
        futures::stream::once(async move { first }).chain(futures::stream::repeat(Stop::Now));
    Ok(received()?.zip(stops).map(|((), stop)| stop).boxed())
}

#[cfg(unix)]
fn received() -> std::io::Result<BoxStream<'static, ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let both = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    Ok(
        futures::stream::unfold(both, |(mut terminate, mut interrupt)| async move {
            tokio::select! {
                Some(()) = terminate.recv() => {}
                Some(()) = interrupt.recv() => {}
                else => return None,
            }
            Some(((), (terminate, interrupt)))
        })
        .boxed(),
    )
}

#[cfg(not(unix))]
fn received() -> std::io::Result<BoxStream<'static, ()>> {
    Ok(futures::stream::unfold((), |()| async {
        tokio::signal::ctrl_c().await.ok().map(|()| ((), ()))
    })
    .boxed())
}
