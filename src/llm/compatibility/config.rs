//! Settings of what a service takes (`[llm.compatibility]`).

use serde::{Deserialize, Serialize};

use super::{Part, Parts, Shape};

/// How parts of a request are asked for, where nothing shall be learnt. Unset parts are learnt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Compatibility {
    /// Whether a small question is asked at the start, so that no caller waits while the service is
    /// learnt. It costs some hundred tokens for each service and start.
    pub ask_at_start: bool,
    /// Whether the model's answer begins with thoughts that no tag opens, only `</think>` ends them.
    pub thoughts_without_opening_tag: bool,
    /// `any`, `user_first`, `alternating`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turns: Option<String>,
    /// `on`, `off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<String>,
    /// `on`, `off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_options: Option<String>,
    /// `json_schema`, `json_object`, `off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_format: Option<String>,
    /// `optional`, `always`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// `max_completion_tokens`, `max_tokens`, `off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_limit: Option<String>,
    /// `system`, `developer`, `user`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// `on`, `off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<String>,
    /// `on`, `off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_fields: Option<String>,
    /// `on`, `off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<String>,
    /// `on`, `off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<String>,
    /// `on`, `off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// `on`, `off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<String>,
}

impl Default for Compatibility {
    fn default() -> Self {
        Self {
            ask_at_start: true,
            thoughts_without_opening_tag: false,
            turns: None,
            strict: None,
            stream_options: None,
            response_format: None,
            content: None,
            token_limit: None,
            instructions: None,
            tool_choice: None,
            provider_fields: None,
            temperature: None,
            reasoning_effort: None,
            stream: None,
            tools: None,
        }
    }
}

impl Compatibility {
    /// Every invalid value, as `key: what is wrong and what is allowed`; `section` is where it stands.
    pub(in super::super) fn problems(&self, section: &str) -> Vec<String> {
        let is_wrong = |(part, value): &(Part, &str)| !part.values().contains(value);
        let wrong = self.set().filter(is_wrong).map(|(part, _)| {
            let (name, allowed) = (part.name(), part.values().join(", "));
            format!("{section}.compatibility.{name}: must be one of {allowed}")
        });
        wrong.collect()
    }

    /// The shape that requests begin with.
    pub(in super::super) fn shape(&self) -> Shape {
        self.set().fold(Shape::default(), |shape, (part, value)| {
            shape.with(part, value)
        })
    }

    /// The parts that are set by hand.
    pub(in super::super) fn fixed(&self) -> Parts {
        self.set().map(|(part, _)| part).collect()
    }

    fn set(&self) -> impl Iterator<Item = (Part, &str)> {
        let value = |part: Part| match part {
            Part::Turns => &self.turns,
            Part::Strict => &self.strict,
            Part::StreamOptions => &self.stream_options,
            Part::ResponseFormat => &self.response_format,
            Part::Content => &self.content,
            Part::TokenLimit => &self.token_limit,
            Part::Instructions => &self.instructions,
            Part::ToolChoice => &self.tool_choice,
            Part::ProviderFields => &self.provider_fields,
            Part::Temperature => &self.temperature,
            Part::ReasoningEffort => &self.reasoning_effort,
            Part::Stream => &self.stream,
            Part::Tools => &self.tools,
        };
        Part::ALL
            .into_iter()
            .filter_map(move |part| Some((part, value(part).as_deref()?)))
    }
}
