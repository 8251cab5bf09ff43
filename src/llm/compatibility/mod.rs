//! Which optional parts of a request a service takes. Plain code.
//!
//! Each part has a ladder of values: the first is what we ask for by ourselves, each further one asks for
//! less. A refusal leads one step down (`search.rs`); what helped is held for the process by the pool.

mod config;
mod search;
mod words;

pub use self::config::Compatibility;
pub(super) use self::search::{Next, Search};

/// Asked for.
const ON: &str = "on";
/// Left out.
const OFF: &str = "off";

/// A part of a request that a service may refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// Which roles may follow each other in the history.
    Turns,
    /// Holding the model to the schema of a tool's arguments.
    Strict,
    /// Asking for the tokens used.
    StreamOptions,
    /// Whether each message must have a content, if only an empty one.
    Content,
    /// The name of the limit on the answer.
    TokenLimit,
    /// The role of the instructions.
    Instructions,
    /// Forbidding tool calls when there have been enough.
    ToolChoice,
    /// Giving back what the service wrote beside its tool calls.
    ProviderFields,
    /// The shape of an answer in JSON.
    ResponseFormat,
    Temperature,
    ReasoningEffort,
    /// An answer in pieces.
    Stream,
    Tools,
}

impl Part {
    /// All of them, the most likely cause of a refusal first.
    pub(super) const ALL: [Self; 13] = [
        Self::Turns,
        Self::Strict,
        Self::StreamOptions,
        Self::ResponseFormat,
        Self::Content,
        Self::TokenLimit,
        Self::Instructions,
        Self::ToolChoice,
        Self::ProviderFields,
        Self::Temperature,
        Self::ReasoningEffort,
        Self::Stream,
        Self::Tools,
    ];

    /// Its setting in `[llm.compatibility]`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Turns => "turns",
            Self::Strict => "strict",
            Self::StreamOptions => "stream_options",
            Self::ResponseFormat => "response_format",
            Self::Content => "content",
            Self::TokenLimit => "token_limit",
            Self::Instructions => "instructions",
            Self::ToolChoice => "tool_choice",
            Self::ProviderFields => "provider_fields",
            Self::Temperature => "temperature",
            Self::ReasoningEffort => "reasoning_effort",
            Self::Stream => "stream",
            Self::Tools => "tools",
        }
    }

    /// Its values, each asking for less than the one before.
    pub(super) const fn values(self) -> &'static [&'static str] {
        match self {
            Self::Turns => &["any", "user_first", "alternating"],
            Self::Content => &["optional", "always"],
            Self::TokenLimit => &["max_completion_tokens", "max_tokens", OFF],
            Self::Instructions => &["system", "developer", "user"],
            Self::ResponseFormat => &["json_schema", "json_object", OFF],
            Self::Strict
            | Self::StreamOptions
            | Self::ToolChoice
            | Self::ProviderFields
            | Self::Temperature
            | Self::ReasoningEffort
            | Self::Stream
            | Self::Tools => &[ON, OFF],
        }
    }
}

/// A set of parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Parts(u16);

impl Parts {
    pub(super) fn add(&mut self, part: Part) {
        self.0 |= 1 << part as u16;
    }

    pub(super) fn has(self, part: Part) -> bool {
        self.0 & 1 << part as u16 != 0
    }
}

impl FromIterator<Part> for Parts {
    fn from_iter<I: IntoIterator<Item = Part>>(parts: I) -> Self {
        let mut set = Self::default();
        parts.into_iter().for_each(|part| set.add(part));
        set
    }
}

/// How each part is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape([u8; Part::ALL.len()]);

impl Shape {
    /// How a part is asked for.
    pub(super) fn value(&self, part: Part) -> &'static str {
        part.values()[usize::from(self.0[part as usize])]
    }

    /// Whether a part is asked for as we do by ourselves.
    pub(super) fn is_first(&self, part: Part) -> bool {
        self.0[part as usize] == 0
    }

    /// The same with another value; unknown ones change nothing.
    pub(super) fn with(mut self, part: Part, value: &str) -> Self {
        if let Some(place) = part.values().iter().position(|it| *it == value) {
            self.0[part as usize] = u8::try_from(place).unwrap_or_default();
        }
        self
    }

    /// The same with less of a part; `None` when nothing is left of it.
    fn with_less(mut self, part: Part) -> Option<Self> {
        let step = &mut self.0[part as usize];
        *step += 1;
        (usize::from(*step) < part.values().len()).then_some(self)
    }

    /// The parts in which this differs from `other`, with their values here.
    pub(super) fn changes_from(&self, other: &Self) -> Vec<(Part, &'static str)> {
        let changed = |part: &Part| self.value(*part) != other.value(*part);
        let parts = Part::ALL.into_iter().filter(changed);
        parts.map(|part| (part, self.value(part))).collect()
    }
}
