//! Tool calls put together from the pieces they are streamed in.

use super::chunk::ToolCallDelta;
use crate::chat::ToolCall;
use crate::excess::Excess;

/// Calls in one answer at most; more is a model gone astray.
pub(crate) const CALLS_MAX: usize = 32;
/// Arguments of one call at most.
pub(crate) const ARGUMENTS_BYTES_MAX: usize = 256 * 1024;

/// The calls of one answer, oldest first.
#[derive(Default)]
pub(super) struct ToolCalls {
    calls: Vec<Partial>,
    /// Calls handed out, so that made-up ids stay distinct.
    taken: usize,
}

struct Partial {
    index: Option<u64>,
    call: ToolCall,
}

/// The model writes more calls or longer arguments than anything we offer takes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {CALLS_MAX} tool calls or {ARGUMENTS_BYTES_MAX} bytes of arguments")]
pub(super) struct TooManyCalls;

impl TooManyCalls {
    fn counted() -> Self {
        Excess::ToolCalls.count("the tool calls of an answer");
        Self
    }
}

impl ToolCalls {
    /// Takes one piece.
    ///
    /// It belongs to the last call unless it says otherwise: a new index begins a new call, and so
    /// does a new id at an index already used (servers that give every call index 0).
    pub(super) fn push(&mut self, delta: ToolCallDelta) -> Result<(), TooManyCalls> {
        let is_same = |partial: &Partial| {
            let is_index = delta.index.is_none() || partial.index == delta.index;
            let is_id =
                delta.id.is_empty() || partial.call.id.is_empty() || partial.call.id == delta.id;
            is_index && is_id
        };
        let position = match self.calls.iter().rposition(is_same) {
            Some(position) => position,
            None if self.calls.len() + self.taken >= CALLS_MAX => {
                return Err(TooManyCalls::counted());
            }
            None => {
                self.calls.push(Partial {
                    index: delta.index,
                    call: ToolCall {
                        id: String::new(),
                        name: String::new(),
                        arguments: String::new(),
                    },
                });
                self.calls.len() - 1
            }
        };
        let call = &mut self.calls[position].call;
        if call.id.is_empty() {
            call.id = delta.id;
        }
        // Some servers repeat the name with every piece.
        if call.name.is_empty() {
            call.name = delta.function.name;
        }
        if call.arguments.len() + delta.function.arguments.len() > ARGUMENTS_BYTES_MAX {
            return Err(TooManyCalls::counted());
        }
        call.arguments += &delta.function.arguments;
        Ok(())
    }

    /// Hands out the calls, now complete. A call without an id gets one; one without a name is
    /// not a call.
    pub(super) fn take(&mut self) -> Vec<ToolCall> {
        let mut taken = self.taken;
        let calls: Vec<_> = std::mem::take(&mut self.calls)
            .into_iter()
            .map(|partial| partial.call)
            .filter(|call| !call.name.is_empty())
            .map(|mut call| {
                if call.id.is_empty() {
                    call.id = format!("call_{taken}");
                }
                taken += 1;
                call
            })
            .collect();
        self.taken = taken;
        calls
    }
}

#[cfg(test)]
mod tests {
    use super::super::chunk::FunctionDelta;
    use super::*;

    type Piece = (Option<u64>, &'static str, &'static str, &'static str);

    fn check(pieces: &[Piece], expected: &[(&str, &str, &str)]) {
        let mut calls = ToolCalls::default();
        for (index, id, name, arguments) in pieces {
            let function = FunctionDelta {
                name: (*name).to_owned(),
                arguments: (*arguments).to_owned(),
            };
            let id = (*id).to_owned();
            let index = *index;
            calls
                .push(ToolCallDelta {
                    index,
                    id,
                    function,
                })
                .unwrap();
        }
        let found = calls.take();
        let found: Vec<_> = found
            .iter()
            .map(|call| {
                (
                    call.id.as_str(),
                    call.name.as_str(),
                    call.arguments.as_str(),
                )
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn arguments_of_one_call_are_joined() {
        check(
            &[
                (Some(0), "a", "f", ""),
                (Some(0), "", "", "{\"x\""),
                (Some(0), "", "", ":1}"),
            ],
            &[("a", "f", "{\"x\":1}")],
        );
    }

    #[test]
    fn pieces_of_parallel_calls_may_alternate() {
        check(
            &[
                (Some(0), "a", "f", "1"),
                (Some(1), "b", "g", "2"),
                (Some(0), "", "", "3"),
                (Some(1), "", "", "4"),
            ],
            &[("a", "f", "13"), ("b", "g", "24")],
        );
    }

    #[test]
    fn a_new_id_at_the_same_index_is_a_new_call() {
        check(
            &[
                (Some(0), "a", "f", "{}"),
                (Some(0), "b", "g", "{}"),
                (Some(0), "", "", " "),
            ],
            &[("a", "f", "{}"), ("b", "g", "{} ")],
        );
    }

    #[test]
    fn calls_without_index_are_told_apart_by_id() {
        check(
            &[
                (None, "a", "f", "1"),
                (None, "a", "f", "2"),
                (None, "b", "g", "3"),
            ],
            &[("a", "f", "12"), ("b", "g", "3")],
        );
    }

    #[test]
    fn a_call_without_id_gets_one_and_without_name_is_none() {
        check(
            &[(Some(0), "", "f", "{}"), (Some(1), "", "", "{}")],
            &[("call_0", "f", "{}")],
        );
    }

    #[test]
    fn endless_calls_are_refused() {
        let mut calls = ToolCalls::default();
        let result = (0..100).try_for_each(|index| {
            calls.push(ToolCallDelta {
                index: Some(index),
                ..ToolCallDelta::default()
            })
        });
        assert_eq!(result, Err(TooManyCalls));
    }

    #[test]
    fn endless_arguments_are_refused() {
        let mut calls = ToolCalls::default();
        let result = (0..100).try_for_each(|_| {
            calls.push(ToolCallDelta {
                index: Some(0),
                function: FunctionDelta {
                    name: String::new(),
                    arguments: "x".repeat(ARGUMENTS_BYTES_MAX / 50),
                },
                ..ToolCallDelta::default()
            })
        });
        assert_eq!(result, Err(TooManyCalls));
    }
}
