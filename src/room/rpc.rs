//! Methods that other participants can call on the agent.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use livekit::prelude::{LocalParticipant, RpcError, RpcErrorCode};

/// A method of the agent's participant.
#[derive(Clone)]
pub struct RpcMethod {
    /// What callers name.
    pub name: String,
    /// Takes the caller's payload and answers with text, or says why it cannot.
    pub call: Arc<dyn Fn(String) -> BoxFuture<'static, Result<String, String>> + Send + Sync>,
}

pub(super) fn register(participant: &LocalParticipant, methods: Vec<RpcMethod>) {
    for method in methods {
        let call = method.call;
        participant.register_rpc_method(method.name, move |invocation| {
            let answer = call(invocation.payload);
            let answer = answer.map(|answer| {
                answer.map_err(|why| RpcError::built_in(RpcErrorCode::ApplicationError, Some(why)))
            });
            Box::pin(answer)
        });
    }
}
