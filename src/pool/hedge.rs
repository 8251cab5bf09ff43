//! A second attempt beside one that is late.

use std::sync::Arc;

use futures::future::{self, Either};

use super::Shared;
use super::call::Call;
use super::recorder::Recorder;
use crate::error::CallError;

/// Makes an attempt and, for a call that asks for it, a second one beside it when it is late. The
/// first answer wins and the other attempt is dropped; a failure waits for what the other brings.
pub(super) async fn attempt(
    call: Call,
    shared: Arc<Shared>,
    recorder: Recorder,
) -> Result<(), CallError> {
    let hedge_after = match call.spec.hedge_after {
        Some(hedge_after) if call.spec.is_repeatable => hedge_after,
        _ => return call.attempt(shared).await,
    };
    let mut first = Box::pin(call.clone().attempt(Arc::clone(&shared)));
    if let Ok(result) = tokio::time::timeout(hedge_after, &mut first).await {
        return result;
    }
    recorder.hedged();
    let second = Box::pin(call.attempt(shared));
    match future::select(first, second).await {
        Either::Left((Ok(()), _)) | Either::Right((Ok(()), _)) => Ok(()),
        Either::Left((Err(_), second)) => second.await,
        Either::Right((Err(_), first)) => first.await,
    }
}
