//! Requests of the user's app and of `agent.rpc_callers` to a running conversation, as methods of the
//! agent's participant:
//! an app lets the agent say that a parcel has arrived, or be silent.

use std::sync::Arc;

use futures::FutureExt;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::handle::{ReplyRequest, SessionHandle, SpeechHandle, SpeechOptions, Words};
use crate::room::RpcMethod;
use crate::turn::Priority;

/// Bytes of a request: no more than anybody would listen to.
const REQUEST_BYTES_MAX: usize = 8 * 1024;

/// A method that reaches the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SessionMethod {
    /// `{"text"}` is said.
    Say,
    /// The model says something; `{"instructions"}` tells it what for this once, and
    /// `{"userInput"}` is what the user is taken to have said.
    GenerateReply,
    /// Silence; what waits to be said is dropped.
    Interrupt,
}

/// What `say` and `generateReply` take.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Request {
    text: Option<String>,
    instructions: Option<String>,
    user_input: Option<String>,
    priority: Urgency,
    is_interruptible: bool,
    /// Whether the answer waits for the end of the speech.
    wait: bool,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            text: None,
            instructions: None,
            user_input: None,
            priority: Urgency::Normal,
            is_interruptible: true,
            wait: false,
        }
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Urgency {
    Low,
    Normal,
    High,
}

impl SessionMethod {
    /// What callers name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Say => "say",
            Self::GenerateReply => "generateReply",
            Self::Interrupt => "interrupt",
        }
    }

    /// The method on this conversation. It answers with `{"end"}`: null at once, or with `wait` how the
    /// speech ended, once it has.
    pub fn on(self, session: &SessionHandle) -> RpcMethod {
        let session = session.clone();
        RpcMethod {
            name: self.name().to_owned(),
            call: Arc::new(move |_, payload| {
                let asked = self.ask(&session, &payload);
                async move {
                    let end = match asked? {
                        Some(mut speech) => Some(speech.finished().await.label()),
                        None => None,
                    };
                    Ok(json!({ "end": end }).to_string())
                }
                .boxed()
            }),
        }
    }

    /// Asks; returns what is to be waited for.
    fn ask(self, session: &SessionHandle, payload: &str) -> Result<Option<SpeechHandle>, String> {
        let request = read(payload)?;
        let options = SpeechOptions {
            priority: match request.priority {
                Urgency::Low => Priority::Low,
                Urgency::Normal => Priority::Normal,
                Urgency::High => Priority::High,
            },
            is_interruptible: request.is_interruptible,
        };
        let speech = match self {
            Self::Say => {
                let text = request.text.filter(|text| !text.trim().is_empty());
                let text = text.ok_or("say: text is missing; it is what the agent says")?;
                session.say(Words::Text(text), options)
            }
            Self::GenerateReply => {
                let about = ReplyRequest {
                    instructions: request.instructions,
                    user_input: request.user_input,
                };
                session.generate_reply(about, options)
            }
            Self::Interrupt => {
                session.interrupt();
                return Ok(None);
            }
        };
        Ok(request.wait.then_some(speech))
    }
}

fn read(payload: &str) -> Result<Request, String> {
    if payload.len() > REQUEST_BYTES_MAX {
        return Err(format!(
            "the request has more than {REQUEST_BYTES_MAX} bytes"
        ));
    }
    if payload.trim().is_empty() {
        return Ok(Request::default());
    }
    // What serde would say may quote what is to be said.
    serde_json::from_str(payload).map_err(|_| {
        "the request must be a JSON object with text (say), instructions and userInput \
         (generateReply), priority (low, normal, high), isInterruptible and wait"
            .to_owned()
    })
}
