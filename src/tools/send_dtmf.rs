//! `send_dtmf_events`: the agent presses keys of a telephone, for menus and extensions.
//!
//! Source of the name and the pause: livekit-agents 1.8.9, `beta/tools/send_dtmf.py`.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{TypedTool, failed, said};
use crate::chat::ToolOutput;

/// Between two keys, so that the other side can tell them apart.
const PAUSE: Duration = Duration::from_millis(300);

/// Keys of one call: a card number and its date, and well within the time of a tool.
const KEYS_MAX: usize = 24;

/// Presses one key at the user's telephone line, or says why it cannot.
pub type PressKey = Arc<dyn Fn(char) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// Presses keys.
pub struct SendDtmf(pub PressKey);

/// Which keys.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct SendDtmfArguments {
    /// The keys in their order, such as "1", "4420#" or "*9": digits, *, # and A to D.
    keys: String,
}

impl TypedTool for SendDtmf {
    type Arguments = SendDtmfArguments;

    const NAME: &'static str = "send_dtmf_events";

    const DESCRIPTION: &'static str = "Presses keys on the telephone line: to choose in a menu of \
        the other side, or to enter a number that it asks for.";

    fn run(&self, arguments: SendDtmfArguments) -> BoxFuture<'static, ToolOutput> {
        let press = Arc::clone(&self.0);
        async move {
            let keys = match keys(&arguments.keys) {
                Ok(keys) => keys,
                Err(why) => return failed(why),
            };
            for (place, key) in keys.iter().enumerate() {
                if place > 0 {
                    tokio::time::sleep(PAUSE).await;
                }
                if let Err(why) = press(*key).await {
                    return failed(format!("{place} keys were pressed, then it failed: {why}"));
                }
            }
            said("pressed")
        }
        .boxed()
    }
}

/// The keys; spaces and dashes only group them.
fn keys(text: &str) -> Result<Vec<char>, String> {
    let is_grouping = |c: &char| c.is_whitespace() || *c == '-';
    let keys: Vec<char> = (text.chars())
        .filter(|c| !is_grouping(c))
        .map(|c| c.to_ascii_uppercase())
        .collect();
    let is_key = |c: &char| c.is_ascii_digit() || "*#ABCD".contains(*c);
    if keys.is_empty() || keys.len() > KEYS_MAX || !keys.iter().all(is_key) {
        return Err(format!(
            "keys must be 1 to {KEYS_MAX} of 0 to 9, *, # and A to D; nothing was pressed"
        ));
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::json;
    use tokio::time::Instant;

    use super::*;
    use crate::tools::Tool;

    /// What was pressed and when, and what the model is told.
    async fn press(keys: &str) -> (Vec<(char, Duration)>, ToolOutput) {
        let pressed = Arc::new(Mutex::new(Vec::new()));
        let (log, began) = (Arc::clone(&pressed), Instant::now());
        let tool = SendDtmf(Arc::new(move |key| {
            let mut log = log.lock().unwrap();
            log.push((key, began.elapsed()));
            let answer = match key {
                'D' => Err("there is no user".to_owned()),
                _ => Ok(()),
            };
            std::future::ready(answer).boxed()
        }));
        let output = tool.call(json!({ "keys": keys })).await;
        let pressed = pressed.lock().unwrap().clone();
        (pressed, output)
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_pressed_one_after_the_other() {
        let (pressed, output) = press("1-2 #a").await;
        let keys: String = pressed.iter().map(|(key, _)| key).collect();
        assert_eq!((keys.as_str(), output.is_error), ("12#A", false));
        assert!(pressed[3].1 >= 3 * PAUSE, "{pressed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_key_is_refused_before_anything_is_pressed() {
        for keys in ["", " ", "12x", "p1", "１", &"1".repeat(KEYS_MAX + 1)] {
            let (pressed, output) = press(keys).await;
            assert!(pressed.is_empty() && output.is_error, "{keys}");
            assert!(output.text.contains("nothing was pressed"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_is_gone_is_an_answer_to_the_model() {
        let (pressed, output) = press("12D4").await;
        assert_eq!(pressed.len(), 3);
        assert!(
            output.is_error && output.text.contains("2 keys"),
            "{}",
            output.text
        );
    }
}
