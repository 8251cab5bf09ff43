use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::tools::TOOL_TIMEOUT;

/// Does what its arguments say.
struct Echo;

impl Tool for Echo {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "echo".to_owned(),
            description: String::new(),
            parameters: serde_json::json!({"type": "object"}),
            is_strict: false,
        }
    }

    fn call(&self, arguments: Value) -> BoxFuture<'static, ToolOutput> {
        async move {
            match arguments["do"].as_str() {
                Some("hang") => std::future::pending().await,
                Some("panic") => panic!("asked to"),
                _ => ToolOutput {
                    text: arguments.to_string(),
                    is_error: false,
                },
            }
        }
        .boxed()
    }
}

async fn call(name: &str, arguments: &str) -> ToolOutput {
    let tools = ToolSet::new(vec![Arc::new(Echo)]);
    let call = ToolCall {
        id: "1".to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
        ..ToolCall::default()
    };
    tools.call(&call).await
}

#[tokio::test]
async fn a_tool_is_found_by_its_name() {
    let output = call("echo", r#"{"a":1}"#).await;
    assert_eq!(
        (output.text.as_str(), output.is_error),
        (r#"{"a":1}"#, false)
    );
}

#[tokio::test]
async fn an_unknown_tool_is_an_answer_that_names_the_known_ones() {
    let output = call("other", "{}").await;
    assert!(
        output.is_error && output.text.contains("echo"),
        "{}",
        output.text
    );
}

#[tokio::test]
async fn arguments_that_are_no_object_are_an_answer() {
    for arguments in ["{\"a\":", "[1]", "\"x\"", "nonsense"] {
        assert!(call("echo", arguments).await.is_error, "{arguments}");
    }
}

#[tokio::test]
async fn no_arguments_are_an_empty_object() {
    for arguments in ["", "  ", "null", "{}"] {
        assert_eq!(call("echo", arguments).await.text, "{}", "{arguments:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_hangs_is_an_answer() {
    assert!(call("echo", r#"{"do":"hang"}"#).await.is_error);
}

#[tokio::test]
async fn a_tool_that_panics_is_an_answer() {
    assert!(call("echo", r#"{"do":"panic"}"#).await.is_error);
}

/// Counts its calls and how many of them were dropped before their end; takes as long as it is told.
#[derive(Clone, Default)]
struct Counted {
    name: &'static str,
    took_ms: u64,
    timeout_ms: Option<u64>,
    begun: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

/// Counts as dropped unless it was defused.
struct Bomb(Option<Arc<AtomicUsize>>);

impl Drop for Bomb {
    fn drop(&mut self) {
        if let Some(dropped) = self.0.take() {
            dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Tool for Counted {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: self.name.to_owned(),
            description: String::new(),
            parameters: serde_json::json!({"type": "object"}),
            is_strict: false,
        }
    }

    fn call(&self, arguments: Value) -> BoxFuture<'static, ToolOutput> {
        let it = self.clone();
        async move {
            let n = it.begun.fetch_add(1, Ordering::Relaxed);
            let mut bomb = Bomb(Some(it.dropped));
            tokio::time::sleep(Duration::from_millis(it.took_ms)).await;
            bomb.0 = None;
            said(format!("{} {n} {arguments}", it.name))
        }
        .boxed()
    }

    fn timeout(&self) -> Duration {
        self.timeout_ms.map_or(TOOL_TIMEOUT, Duration::from_millis)
    }
}

fn asked(id: &str, name: &str, arguments: &str) -> ToolCall {
    ToolCall {
        id: id.to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
        ..ToolCall::default()
    }
}

async fn texts(tools: &ToolSet, calls: &[ToolCall]) -> Vec<String> {
    let outputs = futures::future::join_all(tools.call_round(calls)).await;
    outputs.into_iter().map(|output| output.text).collect()
}

#[tokio::test(start_paused = true)]
async fn the_calls_of_a_round_run_side_by_side_and_answer_in_their_order() {
    let tool = |name, took_ms| Counted {
        name,
        took_ms,
        ..Counted::default()
    };
    let tools = ToolSet::new(vec![
        Arc::new(tool("slow", 900)),
        Arc::new(tool("fast", 100)),
    ]);
    let began = Instant::now();
    let calls = [
        asked("1", "slow", "{}"),
        asked("2", "fast", "{}"),
        asked("3", "nobody", "{}"),
    ];
    let texts = texts(&tools, &calls).await;
    assert_eq!(began.elapsed().as_millis(), 900);
    assert_eq!(
        (texts[0].as_str(), texts[1].as_str()),
        ("slow 0 {}", "fast 0 {}")
    );
    assert!(texts[2].starts_with("there is no such tool"), "{texts:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_for_twice_in_a_round_runs_once() {
    let tool = Counted {
        name: "count",
        ..Counted::default()
    };
    let tools = ToolSet::new(vec![Arc::new(tool.clone())]);
    let calls = [
        asked("1", "count", r#"{"a":1,"b":2}"#),
        asked("2", "count", r#"{ "b": 2, "a": 1 }"#),
        asked("3", "count", r#"{"a":1}"#),
    ];
    let texts = texts(&tools, &calls).await;
    assert_eq!(texts[0], texts[1]);
    assert_ne!(texts[0], texts[2]);
    assert_eq!(tool.begun.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_tool_has_its_own_time_and_is_dropped_at_its_end() {
    let tool = Counted {
        name: "late",
        took_ms: 60_000,
        timeout_ms: Some(20_000),
        ..Counted::default()
    };
    let tools = ToolSet::new(vec![Arc::new(tool.clone())]);
    let began = Instant::now();
    let output = tools.call(&asked("1", "late", "{}")).await;
    assert!(
        output.is_error && output.text.contains("too long"),
        "{}",
        output.text
    );
    assert_eq!(began.elapsed().as_secs(), 20);
    assert_eq!(tool.dropped.load(Ordering::Relaxed), 1);
}

struct Shop(&'static str, Vec<&'static str>);

impl ToolSource for Shop {
    fn name(&self) -> &str {
        self.0
    }

    fn tools(&self) -> Vec<Arc<dyn Tool>> {
        let tool = |name: &&'static str| {
            Arc::new(Counted {
                name,
                ..Counted::default()
            })
        };
        self.1
            .iter()
            .map(|name| tool(name) as Arc<dyn Tool>)
            .collect()
    }
}

#[tokio::test]
async fn a_name_that_is_taken_gets_that_of_its_source() {
    let tools = ToolSet::new(vec![Arc::new(Echo)])
        .and_from(Arc::new(Shop("one", vec!["echo", "search"])))
        .and_from(Arc::new(Shop("two", vec!["search", "a.b/c", "search"])));
    let names: Vec<String> = tools.specs().into_iter().map(|it| it.name).collect();
    assert_eq!(names, ["echo", "one_echo", "search", "two_search", "a_b_c"]);
    let output = tools.call(&asked("1", "one_echo", "{}")).await;
    assert_eq!(output.text, "echo 0 {}", "the source's own is called");

    let some = tools
        .clone()
        .only(&["two_search".to_owned(), "echo".to_owned()]);
    let names: Vec<String> = some.specs().into_iter().map(|it| it.name).collect();
    assert_eq!(names, ["echo", "two_search"]);
    assert!(some.call(&asked("1", "search", "{}")).await.is_error);
    assert_eq!(tools.clone().only(&["*".to_owned()]).specs().len(), 5);
    assert!(tools.only(&[]).specs().is_empty());
}

#[tokio::test]
async fn a_long_output_is_cut_whoever_made_it_and_counted() {
    let config = crate::tools::ClientToolConfig {
        name: "page".to_owned(),
        description: "reads the page".to_owned(),
        ..Default::default()
    };
    let front_end: crate::tools::CallFrontEnd = Arc::new(|_, arguments, _| {
        async move {
            let text = "ü".repeat(2_000_000);
            match arguments.contains("fail") {
                true => Err(text),
                false => Ok(text),
            }
        }
        .boxed()
    });
    let tools = ToolSet::new(vec![Arc::new(crate::tools::ClientTool::new(
        config, front_end,
    ))]);
    let before = Excess::ToolOutput.counted();
    for (arguments, is_error) in [("{}", false), (r#"{"fail":1}"#, true)] {
        let output = tools
            .call(&ToolCall {
                id: "1".to_owned(),
                name: "page".to_owned(),
                arguments: arguments.to_owned(),
                ..ToolCall::default()
            })
            .await;
        assert_eq!(output.is_error, is_error);
        let n_chars = output.text.chars().count();
        assert!((16_000..16_100).contains(&n_chars), "{n_chars} characters");
        assert!(output.text.ends_with("cut here]"), "the model is told");
    }
    assert!(Excess::ToolOutput.counted() >= before + 2);
}
