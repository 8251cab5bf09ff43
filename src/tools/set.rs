//! The tools of one agent: what the model is told of, and how it calls them.

use std::collections::HashSet;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use serde_json::Value;

use super::{Tool, failed, said};
use crate::chat::{ToolCall, ToolOutput, ToolSpec, wire_name};
use crate::excess::{Excess, Panicked};
use crate::text::cut_to_chars;

/// Longest output that the model is given, in characters: about 4,000 tokens, which each later
/// answer of the call is asked with again.
const OUTPUT_CHARS_MAX: usize = 16_000;

/// Stands for every tool in [`ToolSet::only`].
const EVERY: &str = "*";

/// Tools that come and go while a call lasts, such as those of a server.
pub trait ToolSource: Send + Sync {
    /// Whose they are; put before a name that is taken.
    fn name(&self) -> &str;

    /// Those of this moment.
    fn tools(&self) -> Vec<Arc<dyn Tool>>;
}

/// The tools of one agent. Clones share them.
#[derive(Clone, Default)]
pub struct ToolSet {
    own: Vec<Named>,
    sources: Vec<Arc<dyn ToolSource>>,
    only: Option<Arc<[String]>>,
}

/// A tool under the name that the model knows.
#[derive(Clone)]
struct Named {
    spec: ToolSpec,
    tool: Arc<dyn Tool>,
}

impl ToolSet {
    /// Tools with distinct names; of two with the same name the first one is called.
    pub fn new(tools: Vec<Arc<dyn Tool>>) -> Self {
        Self::default().and(tools)
    }

    /// The same tools and more.
    #[must_use]
    pub fn and(mut self, more: Vec<Arc<dyn Tool>>) -> Self {
        self.own.extend(more.into_iter().map(|tool| Named {
            spec: tool.spec(),
            tool,
        }));
        self
    }

    /// The same tools and those of a source. One whose name is taken gets that of its source in
    /// front, such as `github_search`.
    #[must_use]
    pub fn and_from(mut self, source: Arc<dyn ToolSource>) -> Self {
        self.sources.push(source);
        self
    }

    /// Of the tools there are, and of all that its sources will have, only those with these names;
    /// `*` for all of them. What is added later is there in any case.
    #[must_use]
    pub fn only(mut self, names: &[String]) -> Self {
        let has_every = names.iter().any(|name| name == EVERY);
        if !has_every {
            self.own.retain(|it| names.contains(&it.spec.name));
            self.only = Some(names.into());
        }
        self
    }

    /// What the model is told.
    pub fn specs(&self) -> Vec<ToolSpec> {
        self.all().into_iter().map(|it| it.spec).collect()
    }

    /// Runs what the model asked for. An unknown name, arguments that do not fit, a panic and a tool
    /// that takes too long are answers for the model, which then can do better.
    ///
    /// Cancel safety: dropping the future drops the tool's.
    pub fn call(&self, call: &ToolCall) -> BoxFuture<'static, ToolOutput> {
        let output = self.run(call, |tool, arguments| tool.call(arguments));
        output.map(bounded).boxed()
    }

    /// The calls of one round, to be run side by side: a future for each, in their order. What is
    /// asked for twice in the same words runs once, and both calls get its answer.
    ///
    /// Cancel safety: dropping the futures drops the tools'.
    pub fn call_round(&self, calls: &[ToolCall]) -> Vec<Shared<BoxFuture<'static, ToolOutput>>> {
        let mut running: Vec<Shared<BoxFuture<'static, ToolOutput>>> = Vec::new();
        for (place, call) in calls.iter().enumerate() {
            let twin = calls[..place].iter().position(|it| is_same(it, call));
            let output = match twin {
                Some(twin) => running[twin].clone(),
                None => self.call(call).shared(),
            };
            running.push(output);
        }
        running
    }

    /// Runs one tool for a program that calls it as a method of the agent's participant.
    pub fn call_for_program(&self, call: &ToolCall) -> BoxFuture<'static, ToolOutput> {
        self.run(call, |tool, arguments| {
            match tool.call_for_program(&arguments) {
                Some(json) => json.map(|json| said(json.to_string())).boxed(),
                None => tool.call(arguments),
            }
        })
    }

    /// All tools under their names.
    fn all(&self) -> Vec<Named> {
        let mut taken = HashSet::new();
        let mut all = Vec::new();
        let sourced = self.sources.iter().flat_map(|source| {
            let tools = source.tools().into_iter();
            tools.map(move |tool| (source.name(), tool))
        });
        for named in &self.own {
            if taken.insert(named.spec.name.clone()) {
                all.push(named.clone());
            }
        }
        for (source, tool) in sourced {
            let mut spec = tool.spec();
            spec.name = wire_name(&spec.name);
            if taken.contains(&spec.name) {
                spec.name = wire_name(&format!("{source}_{}", spec.name));
            }
            let is_wanted = |only: &Arc<[String]>| only.contains(&spec.name);
            if taken.insert(spec.name.clone()) && self.only.as_ref().is_none_or(is_wanted) {
                all.push(Named { spec, tool });
            }
        }
        all
    }

    fn run(
        &self,
        call: &ToolCall,
        run: impl FnOnce(&dyn Tool, Value) -> BoxFuture<'static, ToolOutput> + Send + 'static,
    ) -> BoxFuture<'static, ToolOutput> {
        let mut all = self.all();
        let Some(place) = all.iter().position(|it| it.spec.name == call.name) else {
            let names: Vec<_> = all.into_iter().map(|it| it.spec.name).collect();
            let text = format!("there is no such tool; there are: {}", names.join(", "));
            return async move { failed(text) }.boxed();
        };
        let arguments = match arguments(&call.arguments) {
            Ok(arguments) => arguments,
            Err(text) => return async move { failed(text) }.boxed(),
        };
        let Named { spec, tool } = all.swap_remove(place);
        let (name, timeout) = (spec.name, tool.timeout());
        async move {
            let run = async move { run(&*tool, arguments).await };
            let run = std::panic::AssertUnwindSafe(run).catch_unwind();
            match tokio::time::timeout(timeout, run).await {
                Ok(Ok(output)) => output,
                Ok(Err(text)) => {
                    // The model is told and goes on, so this one needs no apology.
                    Panicked::caught(text);
                    tracing::error!(tool = name, "a tool panicked");
                    failed("the tool failed for a reason of its own")
                }
                Err(_) => {
                    tracing::warn!(tool = name, "a tool took too long");
                    failed("the tool took too long and was stopped")
                }
            }
        }
        .boxed()
    }
}

impl FromIterator<Arc<dyn Tool>> for ToolSet {
    fn from_iter<I: IntoIterator<Item = Arc<dyn Tool>>>(tools: I) -> Self {
        Self::new(tools.into_iter().collect())
    }
}

/// The output of a tool, whoever made it, as the model is given it.
fn bounded(mut output: ToolOutput) -> ToolOutput {
    if cut_to_chars(&mut output.text, OUTPUT_CHARS_MAX) {
        Excess::ToolOutput.count("the output of a tool");
        output
            .text
            .push_str("\n[the output was longer and is cut here]");
    }
    output
}

/// Whether both ask for the same: the same tool with the same arguments, however they are written.
fn is_same(one: &ToolCall, other: &ToolCall) -> bool {
    one.name == other.name && arguments(&one.arguments) == arguments(&other.arguments)
}

/// Models send nothing at all for a tool without arguments.
fn arguments(text: &str) -> Result<Value, String> {
    if text.trim().is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    match serde_json::from_str(text) {
        Ok(Value::Null) => Ok(Value::Object(serde_json::Map::new())),
        Ok(arguments @ Value::Object(_)) => Ok(arguments),
        Ok(_) => Err("the arguments must be a JSON object; please call again".to_owned()),
        Err(error) => Err(format!(
            "the arguments are not valid JSON (line {}, column {}); please call again",
            error.line(),
            error.column()
        )),
    }
}

#[cfg(test)]
#[path = "set_tests.rs"]
mod tests;
