//! The user's front end, as tools reach it: its methods, and the keys of a telephone line.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use livekit::SipDTMF;
use livekit::prelude::{LocalParticipant, PerformRpcData, RpcErrorCode};

use super::link::Link;

/// The keys by their codes.
///
/// Source: RFC 4733, 3.2.
const KEYS: &str = "0123456789*#ABCD";

/// The front end of the user of one room. Made before the room is joined, so that tools can be made
/// with it; clones are the same.
#[derive(Clone, Default)]
pub struct FrontEnd(Arc<OnceLock<(LocalParticipant, Arc<Link>)>>);

impl FrontEnd {
    /// The room is joined.
    pub(super) fn connect(&self, agent: LocalParticipant, link: Arc<Link>) {
        if self.0.set((agent, link)).is_err() {
            tracing::debug!("a front end is of one room only");
        }
    }

    /// Presses a key (0 to 9, *, #, A to D) on the user's telephone line.
    ///
    /// # Errors
    /// Why it was not pressed, in words for the model.
    pub async fn press(&self, key: char) -> Result<(), String> {
        let code = KEYS.find(key).and_then(|code| u32::try_from(code).ok());
        let code = code.ok_or_else(|| format!("there is no key {key}"))?;
        let user = self.0.get().and_then(|(agent, link)| {
            let user = link.get().user?;
            Some((agent, user))
        });
        let Some((agent, user)) = user else {
            return Err("there is no user at the moment".to_owned());
        };
        let pressed = agent.publish_dtmf(SipDTMF {
            code,
            digit: key.to_string(),
            destination_identities: vec![user],
        });
        pressed.await.map_err(|error| {
            tracing::debug!(%error, "a key was not pressed");
            "the line does not take it".to_owned()
        })
    }

    /// Calls a method that the front end has registered and returns its answer.
    ///
    /// # Errors
    /// Why there is none, in words for the model.
    ///
    /// Cancel safety: a dropped call may still be carried out by the front end.
    pub async fn call(
        &self,
        method: String,
        payload: String,
        timeout: Duration,
    ) -> Result<String, String> {
        let user = self.0.get().and_then(|(agent, link)| {
            let user = link.get().user?;
            Some((agent, user.to_string()))
        });
        let Some((agent, destination_identity)) = user else {
            return Err("there is no user at the moment".to_owned());
        };
        let asked = agent.perform_rpc(PerformRpcData {
            destination_identity,
            method,
            payload,
            response_timeout: timeout,
            ..PerformRpcData::default()
        });
        asked.await.map_err(|error| match error.code {
            code if code == RpcErrorCode::UnsupportedMethod as u32 => {
                "the user's app cannot do this".to_owned()
            }
            code if code == RpcErrorCode::ResponseTimeout as u32
                || code == RpcErrorCode::ConnectionTimeout as u32 =>
            {
                "the user's app did not answer in time".to_owned()
            }
            code if code == RpcErrorCode::ApplicationError as u32 => {
                "the user's app failed at it".to_owned()
            }
            _ => format!("the user's app says: {}", error.message),
        })
    }
}
