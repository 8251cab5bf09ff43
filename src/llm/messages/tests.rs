//! Conversations as services are shown them.

use super::*;
use crate::chat::ToolOutput;

fn user(text: &str) -> ChatItem {
    ChatItem::User(text.to_owned())
}

fn agent(text: &str) -> ChatItem {
    ChatItem::Agent {
        text: text.to_owned(),
        is_interrupted: false,
    }
}

fn call(id: &str) -> ChatItem {
    ChatItem::ToolCall(ToolCall {
        id: id.repeat(ID_CHARS),
        name: "f".to_owned(),
        arguments: "{}".to_owned(),
        ..ToolCall::default()
    })
}

fn output(id: &str, text: &str) -> ChatItem {
    ChatItem::ToolOutput {
        call_id: id.repeat(ID_CHARS),
        output: ToolOutput {
            text: text.to_owned(),
            is_error: false,
        },
    }
}

/// Ids of the tests are one letter nine times.
fn short(id: &str) -> String {
    assert_eq!(id.len(), ID_CHARS);
    let first = &id[..1];
    match id == first.repeat(ID_CHARS) {
        true => first.to_owned(),
        false => id.to_owned(),
    }
}

fn written(context: &ChatContext, shape: Shape) -> Vec<Value> {
    messages(context, &shape, "host model", &mut Parts::default())
}

fn check(items: Vec<ChatItem>, expected: &[&str]) {
    check_as(Shape::default(), "", items, expected);
}

/// Messages as short words: role, then content, calls or the call that is answered.
fn check_as(shape: Shape, instructions: &str, items: Vec<ChatItem>, expected: &[&str]) {
    let context = ChatContext {
        instructions: instructions.to_owned(),
        items,
    };
    let found: Vec<String> = written(&context, shape)
        .iter()
        .map(|message| {
            let mut words = vec![message["role"].as_str().unwrap().to_owned()];
            words.extend(message["tool_call_id"].as_str().map(short));
            words.extend(message["content"].as_str().map(str::to_owned));
            for call in message["tool_calls"].as_array().into_iter().flatten() {
                words.push(format!("+{}", short(call["id"].as_str().unwrap())));
            }
            words.join(" ")
        })
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn instructions_come_first_and_only_if_there_are_any() {
    let context = ChatContext {
        instructions: "be brief".to_owned(),
        items: vec![user("hi")],
    };
    let json = written(&context, Shape::default());
    assert_eq!(
        json[0],
        serde_json::json!({"role": "system", "content": "be brief"})
    );
    check(vec![user("hi")], &["user hi"]);
}

#[test]
fn calls_made_together_are_one_message_with_the_words_before_them() {
    check(
        vec![
            user("stats?"),
            agent("let me see"),
            call("a"),
            call("b"),
            output("b", "2"),
            output("a", "1"),
            agent("done"),
        ],
        &[
            "user stats?",
            "assistant let me see +a +b",
            "tool a 1",
            "tool b 2",
            "assistant done",
        ],
    );
}

#[test]
fn a_call_without_answer_gets_one() {
    check(
        vec![call("a"), user("stop")],
        &["assistant +a", &format!("tool a {UNANSWERED}"), "user stop"],
    );
}

#[test]
fn an_answer_that_came_late_is_put_after_its_call() {
    check(
        vec![call("a"), user("well?"), output("a", "1")],
        &["assistant +a", "tool a 1", "user well?"],
    );
}

#[test]
fn an_answer_without_call_and_words_nobody_heard_are_left_out() {
    check(vec![output("x", "1"), agent(""), user("hi")], &["user hi"]);
}

#[test]
fn ids_that_repeat_belong_to_the_calls_they_follow() {
    check(
        vec![
            user("q"),
            call("a"),
            output("a", "1"),
            agent("one"),
            user("again"),
            call("a"),
            call("a"),
            output("a", "2"),
            output("a", "3"),
        ],
        &[
            "user q",
            "assistant +a",
            "tool a 1",
            "assistant one",
            "user again",
            "assistant +call00001 +call00002",
            "tool call00001 2",
            "tool call00002 3",
        ],
    );
}

#[test]
fn ids_and_names_of_others_are_written_as_every_service_takes_them() {
    let call = ToolCall {
        id: "call_PTLP8xhu3uwZk4l3nlnrrJha".to_owned(),
        name: "multi_tool_use.parallel".to_owned(),
        arguments: "{\"cut".to_owned(),
        ..ToolCall::default()
    };
    let context = ChatContext {
        instructions: String::new(),
        items: vec![ChatItem::ToolCall(call)],
    };
    let json = written(&context, Shape::default());
    let call = &json[0]["tool_calls"][0];
    assert_eq!(call["id"], "call00000");
    assert_eq!(call["type"], "function");
    assert_eq!(call["function"]["name"], "multi_tool_use_parallel");
    assert_eq!(call["function"]["arguments"], "{}");
    assert_eq!(json[1]["tool_call_id"], "call00000");
}

#[test]
fn fields_of_a_service_go_back_to_it_and_to_no_other() {
    let fields = |value: Value| value.as_object().cloned().unwrap_or_default();
    let with_fields = |origin: &str| {
        let provider = crate::chat::ProviderFields {
            origin: origin.to_owned(),
            call: fields(json!({"extra_content": "abc"})),
            message: fields(json!({"reasoning_content": "hm"})),
        };
        let call = ToolCall {
            id: "aaaaaaaaa".to_owned(),
            name: "f".to_owned(),
            provider: Some(provider.into()),
            ..ToolCall::default()
        };
        ChatContext {
            instructions: String::new(),
            items: vec![ChatItem::ToolCall(call)],
        }
    };
    let own = with_fields("host model");
    let json = &written(&own, Shape::default())[0];
    assert_eq!(json["reasoning_content"], "hm");
    assert_eq!(json["tool_calls"][0]["extra_content"], "abc");
    assert_eq!(json["tool_calls"][0]["id"], "aaaaaaaaa");
    let refused = Shape::default().with(Part::ProviderFields, "off");
    for json in [
        &written(&own, refused)[0],
        &written(&with_fields("another"), Shape::default())[0],
    ] {
        assert_eq!(json.get("reasoning_content"), None);
        assert_eq!(json["tool_calls"][0].get("extra_content"), None);
    }
}

#[test]
fn content_is_there_for_services_that_want_it() {
    let context = ChatContext {
        instructions: String::new(),
        items: vec![call("a")],
    };
    assert_eq!(written(&context, Shape::default())[0].get("content"), None);
    let always = Shape::default().with(Part::Content, "always");
    assert_eq!(written(&context, always)[0]["content"], "");
}

/// A greeting, words in a row of each side, and calls of which the second is interrupted.
fn talk() -> Vec<ChatItem> {
    vec![
        agent("Hello."),
        user("look"),
        user("please"),
        agent("Let me see."),
        call("a"),
        output("a", "1"),
        agent("A tree."),
        agent("And a bush."),
        call("b"),
        output("b", "2"),
        user("stop"),
    ]
}

#[test]
fn turns_are_as_a_service_takes_them() {
    let shape = |turns: &str| Shape::default().with(Part::Turns, turns);
    let first = [
        "system be kind",
        "user (the call begins)",
        "assistant Hello.",
    ];
    let rest = [
        "user look",
        "user please",
        "assistant Let me see. +a",
        "tool a 1",
        "assistant A tree.",
        "assistant And a bush. +b",
        "tool b 2",
        "user stop",
    ];
    check_as(
        shape("user_first"),
        "be kind",
        talk(),
        &[&first[..], &rest].concat(),
    );
    let alternating = [
        "user look\n\nplease",
        "assistant Let me see. +a",
        "tool a 1",
        "assistant A tree. And a bush. +b",
        "tool b 2",
        "assistant …",
        "user stop",
    ];
    check_as(
        shape("alternating"),
        "be kind",
        talk(),
        &[&first[..], &alternating].concat(),
    );
    let as_user = shape("alternating").with(Part::Instructions, "user");
    let first = ["user be kind", "assistant Hello."];
    check_as(
        as_user,
        "be kind",
        talk(),
        &[&first[..], &alternating].concat(),
    );
    check_as(
        as_user,
        "be kind",
        vec![user("hi")],
        &["user be kind\n\nhi"],
    );
    check_as(
        shape("alternating"),
        "be kind",
        vec![user("hi"), agent("yes")],
        &[
            "system be kind",
            "user hi",
            "assistant yes",
            "user (please go on)",
        ],
    );
}

#[test]
fn a_conversation_is_shortened_by_whole_exchanges() {
    let mut context = ChatContext {
        instructions: "be kind".to_owned(),
        items: vec![
            agent("Hello."),
            user("a"),
            call("a"),
            output("a", "1"),
            agent("A"),
        ],
    };
    context
        .items
        .extend([user("b"), agent("B"), user("c"), user("d")]);
    assert!(shorten(&mut context));
    assert!(context.items == [user("b"), agent("B"), user("c"), user("d")]);
    assert!(shorten(&mut context));
    assert!(context.items == [user("c"), user("d")]);
    assert!(!shorten(&mut context));
    assert!(context.items == [user("c"), user("d")]);
}

#[test]
fn no_tools_means_no_list() {
    assert!(tools(&[], &Shape::default(), &mut Parts::default()).is_none());
}
