//! Chat completions, whole and streamed, as async-openai reads them.

use async_openai::types::chat::{CreateChatCompletionRequest, FinishReason, Role};
use futures::StreamExt;
use offline_openai::{Config, Fixed, ServerHandle};
use serde_json::{Value, json};

use crate::common::{chat_body, client, fixed, start};

/// A server that says the same to everything.
async fn replying(text: &str) -> ServerHandle {
    let fixed = Fixed {
        reply: Some(text.to_owned()),
        ..Fixed::default()
    };
    start(Config {
        fixed: Some(fixed),
        ..Config::default()
    })
    .await
}

fn typed(body: Value) -> CreateChatCompletionRequest {
    serde_json::from_value(body).unwrap()
}

#[tokio::test]
async fn a_stream_has_a_role_small_pieces_a_reason_and_usage() {
    let server = replying("Hello. How can I help you?").await;
    let mut body = chat_body("hello", true);
    body["stream_options"] = json!({ "include_usage": true });
    let mut stream = client(&server)
        .chat()
        .create_stream(typed(body))
        .await
        .unwrap();
    let mut chunks = Vec::new();
    while let Some(chunk) = stream.next().await {
        chunks.push(chunk.unwrap());
    }
    let choices: Vec<_> = chunks.iter().flat_map(|chunk| &chunk.choices).collect();
    assert_eq!(choices[0].delta.role, Some(Role::Assistant));
    let text: String = choices
        .iter()
        .filter_map(|choice| choice.delta.content.clone())
        .collect();
    assert_eq!(text, "Hello. How can I help you?");
    assert!(choices.len() >= 6, "only {} pieces", choices.len());
    assert_eq!(
        choices.last().unwrap().finish_reason,
        Some(FinishReason::Stop)
    );
    let last = chunks.last().unwrap();
    assert!(last.choices.is_empty() && last.usage.is_some());
    assert!(
        chunks[..chunks.len() - 1]
            .iter()
            .all(|chunk| chunk.usage.is_none())
    );
}

#[tokio::test]
async fn a_stream_ends_with_done_and_has_usage_only_on_request() {
    let server = fixed().await;
    let url = format!("{}/chat/completions", server.base_url());
    let response = crate::common::http()
        .post(url)
        .json(&chat_body("hello", true))
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let text = response.text().await.unwrap();
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    assert!(!text.contains("usage"), "{text}");
}

#[tokio::test]
async fn a_whole_answer_is_one_object() {
    let server = fixed().await;
    let answer = client(&server)
        .chat()
        .create(typed(chat_body("my name is john", false)))
        .await
        .unwrap();
    assert_eq!(
        answer.choices[0].message.content.as_deref(),
        Some("Nice to meet you, John.")
    );
    assert_eq!(answer.choices[0].finish_reason, Some(FinishReason::Stop));
    assert!(answer.usage.unwrap().total_tokens > 0);
}

fn with_tool(text: &str, stream: bool) -> Value {
    let mut body = chat_body(text, stream);
    body["tools"] = json!([
        { "type": "function", "function": {
            "name": "remember", "parameters": { "type": "object", "required": ["key", "value"],
                "properties": { "key": { "type": "string" }, "value": { "type": "string" } } } } },
        { "type": "function", "function": { "name": "getConnectionPoolStats" } },
    ]);
    body
}

#[tokio::test]
async fn a_streamed_tool_call_comes_in_pieces_and_its_result_is_spoken() {
    let server = fixed().await;
    let body = with_tool("remember that i like green tea", true);
    let mut stream = client(&server)
        .chat()
        .create_stream(typed(body))
        .await
        .unwrap();
    let (mut names, mut ids, mut arguments) = (Vec::new(), Vec::new(), Vec::new());
    let mut reason = None;
    while let Some(chunk) = stream.next().await {
        for choice in chunk.unwrap().choices {
            reason = choice.finish_reason.or(reason);
            for call in choice.delta.tool_calls.unwrap_or_default() {
                assert_eq!(call.index, 0);
                ids.extend(call.id);
                let function = call.function.unwrap();
                names.extend(function.name);
                arguments.extend(function.arguments.filter(|piece| !piece.is_empty()));
            }
        }
    }
    assert_eq!(reason, Some(FinishReason::ToolCalls));
    assert_eq!((names, ids.len()), (vec!["remember".to_owned()], 1));
    assert!(arguments.len() > 1, "arguments came in one piece");
    let given: Value = serde_json::from_str(&arguments.concat()).unwrap();
    assert_eq!(given, json!({ "key": "likes", "value": "green tea" }));
}

#[tokio::test]
async fn a_tool_result_is_answered_in_words() {
    let server = fixed().await;
    let mut body = with_tool("show me the connection statistics", false);
    let first = client(&server)
        .chat()
        .create(typed(body.clone()))
        .await
        .unwrap();
    let call = serde_json::to_value(&first.choices[0].message.tool_calls).unwrap()[0].clone();
    assert_eq!(call["function"]["name"], "getConnectionPoolStats");
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({ "role": "assistant", "content": null, "tool_calls": [call] }));
    let result = r#"{"connections":{"open":2},"requests":12}"#;
    messages.push(json!({ "role": "tool", "tool_call_id": call["id"], "content": result }));
    let second = client(&server).chat().create(typed(body)).await.unwrap();
    let text = second.choices[0].message.content.clone().unwrap();
    assert!(
        text.contains("two connections") && text.contains("twelve requests"),
        "{text}"
    );
}

#[tokio::test]
async fn wanted_json_is_given_even_in_fixed_mode() {
    let server = replying("no json").await;
    let mut body = chat_body("User: my name is john", false);
    body["response_format"] = json!({ "type": "json_schema", "json_schema": {
        "name": "facts", "strict": true, "schema": { "type": "object", "required": ["facts"],
            "properties": { "facts": { "type": "array", "items": { "type": "object",
                "required": ["key", "value"], "properties": {
                    "key": { "type": "string" }, "value": { "type": "string" } } } } } } } });
    let answer = client(&server).chat().create(typed(body)).await.unwrap();
    let text = answer.choices[0].message.content.clone().unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        json,
        json!({ "facts": [{ "key": "name", "value": "John" }] })
    );
}

#[tokio::test]
async fn models_are_listed() {
    let server = fixed().await;
    let models = client(&server).models().list().await.unwrap();
    assert!(models.data.iter().any(|model| model.id == "gpt-4o-mini"));
}
