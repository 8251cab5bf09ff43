//! An agent as the jobs run it, and what rooms and front ends are told of it.

use std::sync::Arc;

use futures::FutureExt;

use crate::chat::ToolCall;
use crate::room::{AgentCard, FrontEnd, Models, RpcMethod};
use crate::session::realtime::{self, RealtimeModel};
use crate::session::{Agent, SessionMethod, Settings};
use crate::tools::{CallFrontEnd, ClientTool, ClientToolConfig, SendDtmf, Tool, ToolSet};

/// An agent as the jobs run it.
#[derive(Clone)]
pub struct Profile {
    /// Name that dispatches ask for; empty for every new room.
    pub name: String,
    /// Who talks.
    pub agent: Agent,
    /// How it listens and takes turns.
    pub settings: Settings,
    /// Tools that the user's front end, and `rpc_callers`, can call as methods of the agent's
    /// participant.
    pub rpc_tools: Vec<String>,
    /// Identities beside the user that may call the agent's methods; `*` stands for any characters.
    pub rpc_callers: Vec<String>,
    /// Tools that the model may call; `*` for all. Those of the front end are always among them.
    pub tools: Vec<String>,
    /// Tools that the user's front end carries out.
    pub client_tools: Vec<ClientToolConfig>,
    /// Whether the model may press keys on the user's telephone line.
    pub send_dtmf: bool,
    /// Requests of the same participants to the running conversation.
    pub session_methods: Vec<SessionMethod>,
    /// Whether `GetAgentInfo`, which a front end may ask, returns the instructions.
    pub show_instructions: bool,
    /// One model in place of the agent's stages: its calls are speech to speech.
    pub realtime: Option<RealtimeModel>,
}

impl Profile {
    /// Of the voice.
    pub(super) fn sample_rate_hz(&self) -> u32 {
        match self.realtime {
            Some(_) => realtime::SAMPLE_RATE_HZ,
            None => self.agent.tts.sample_rate_hz(),
        }
    }

    /// What front ends may know of the agent.
    pub(super) fn card(&self, tools: &ToolSet) -> AgentCard {
        let (turn, session) = (&self.settings.turn, &self.settings.session);
        let options = [
            ("endpointing", json(&turn.endpointing)),
            ("interruption", json(&turn.interruption)),
            ("max_tool_steps", json(&session.tool_rounds_max)),
        ];
        AgentCard {
            id: match self.name.as_str() {
                "" => env!("CARGO_PKG_NAME").to_owned(),
                name => name.to_owned(),
            },
            instructions: (self.show_instructions).then(|| self.agent.instructions.clone()),
            tools: tools.specs().into_iter().map(|tool| tool.name).collect(),
            models: self.models(),
            options: options.map(|(name, value)| (name.to_owned(), value)).into(),
        }
    }

    fn models(&self) -> Models {
        let Some(model) = &self.realtime else {
            return Models {
                stt: self.agent.stt.model().to_owned(),
                llm: self.agent.llm.model().to_owned(),
                tts: self.agent.tts.model().to_owned(),
            };
        };
        Models {
            stt: String::new(),
            llm: model.name().to_owned(),
            tts: String::new(),
        }
    }

    /// The tools that reach a call's front end, or the telephone line that it is.
    pub(super) fn tools_of(&self, front_end: &FrontEnd) -> Vec<Arc<dyn Tool>> {
        let app = front_end.clone();
        let call: CallFrontEnd = Arc::new(move |method, payload, timeout| {
            let app = app.clone();
            async move { app.call(method, payload, timeout).await }.boxed()
        });
        let tool = |config: &ClientToolConfig| {
            Arc::new(ClientTool::new(config.clone(), Arc::clone(&call))) as Arc<dyn Tool>
        };
        let mut tools: Vec<_> = self.client_tools.iter().map(tool).collect();
        if self.send_dtmf {
            tools.push(press_keys(front_end));
        }
        tools
    }

    pub(super) fn rpc_methods(&self) -> Vec<RpcMethod> {
        let methods = self.rpc_tools.iter().map(|name| {
            let (name, tools) = (name.clone(), self.agent.tools.clone());
            RpcMethod {
                name: name.clone(),
                call: Arc::new(move |_, payload| {
                    let call = ToolCall {
                        id: String::new(),
                        name: name.clone(),
                        arguments: payload,
                        ..ToolCall::default()
                    };
                    let output = tools.call_for_program(&call);
                    output
                        .map(|output| match output.is_error {
                            true => Err(output.text),
                            false => Ok(output.text),
                        })
                        .boxed()
                }),
            }
        });
        methods.collect()
    }
}

/// The tool that presses keys on the line of this front end's user.
fn press_keys(front_end: &FrontEnd) -> Arc<dyn Tool> {
    let front_end = front_end.clone();
    Arc::new(SendDtmf(Arc::new(move |key| {
        let front_end = front_end.clone();
        async move { front_end.press(key).await }.boxed()
    })))
}

/// A setting as front ends read it.
fn json(setting: &impl serde::Serialize) -> String {
    serde_json::to_string(setting).unwrap_or_default()
}
