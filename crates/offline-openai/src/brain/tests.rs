//! Tables of what is said and what is answered.

use serde_json::{Value, json};

use super::*;

fn message(role: Role, text: &str) -> Message {
    Message {
        role,
        text: text.to_owned(),
        calls: Vec::new(),
        answers: None,
    }
}

/// A conversation in which only the user spoke.
fn user_said(texts: &[&str]) -> Conversation {
    let messages = texts.iter().map(|text| message(Role::User, text)).collect();
    Conversation {
        messages,
        ..Conversation::default()
    }
}

#[track_caller]
fn said(conversation: &Conversation) -> String {
    match reply(conversation) {
        Reply::Say(text) => text,
        Reply::Call(calls) => panic!("called {calls:?}"),
    }
}

#[test]
fn what_is_to_be_said_exactly_is_said() {
    let conversation = Conversation {
        messages: vec![message(
            Role::System,
            "Say exactly this and nothing else: Welcome.",
        )],
        ..Conversation::default()
    };
    assert_eq!(said(&conversation), "Welcome.");
}

#[test]
fn each_saying_has_its_answer() {
    for (said_by_user, expected) in [
        ("hello there", phrases::GREETING_BACK),
        ("Hello!", phrases::GREETING_BACK),
        ("how low there", phrases::GREETING_BACK),
        ("how are you today", phrases::WELL),
        ("thank you", phrases::WELCOME),
        ("thank you and goodbye", phrases::GOODBYE),
        ("good bye", phrases::GOODBYE),
        ("who are you", phrases::WHO),
        ("what is your name", phrases::WHO),
        ("what can you do", phrases::ABILITIES),
        ("tell me a story", phrases::STORY),
        ("stop", phrases::STOP),
        ("what is my name", phrases::NAME_UNKNOWN),
        ("what do you remember about me", phrases::NOTHING_KNOWN),
        ("forget everything about me", phrases::FORGOTTEN),
        ("show me the connection statistics", phrases::NO_TOOL),
        ("my name is john", "Nice to meet you, John."),
        ("my name's jon", "Nice to meet you, Jon."),
        (
            "my name is john and i'll live in london",
            "Nice to meet you, John. I like London.",
        ),
        (
            "I live in New York.",
            "Okay. I remember that you live in New York.",
        ),
        (
            "remember that i like green tea",
            "Okay. I remember that you like green tea.",
        ),
        (
            "remember that my dog is called rex",
            "Okay. I remember that your dog is called rex.",
        ),
        ("repeat after me one two three", "One two three."),
        ("purple monkey dishwasher", phrases::FALLBACK),
        ("", phrases::NOT_HEARD),
    ] {
        assert_eq!(
            said(&user_said(&[said_by_user])),
            expected,
            "{said_by_user:?}"
        );
    }
}

#[test]
fn what_was_told_is_known_later() {
    for (texts, expected) in [
        (
            &["my name is john and i live in london", "what is my name"][..],
            "Your name is John.",
        ),
        (
            &["my name is john and i live in london", "where do i live"],
            "You live in London.",
        ),
        (
            &["my name is john", "no call me jack", "do you know my name"],
            "Your name is Jack.",
        ),
        (
            &["remember that i like green tea", "what do i like"],
            "You like green tea.",
        ),
        (
            &[
                "my name is john",
                "i like green tea",
                "what do you remember about me",
            ],
            "Your name is John. You like green tea.",
        ),
    ] {
        assert_eq!(said(&user_said(texts)), expected, "{texts:?}");
    }
}

#[test]
fn what_the_instructions_say_is_known() {
    for instructions in [
        "You are a voice agent.\nKnown about the user:\n- name: John",
        "The user's name is John. Be brief.",
        "Profile: {\"x\"\nuser.name = John",
    ] {
        let mut conversation = user_said(&["what is my name"]);
        conversation
            .messages
            .insert(0, message(Role::System, instructions));
        assert_eq!(
            said(&conversation),
            "Your name is John.",
            "{instructions:?}"
        );
    }
}

#[test]
fn it_greets_when_nobody_has_spoken() {
    let greeting = |instructions: &str| {
        let messages = vec![message(Role::System, instructions)];
        said(&Conversation {
            messages,
            ..Conversation::default()
        })
    };
    assert_eq!(
        greeting("You are a helpful agent. Greet the user."),
        phrases::GREETING
    );
    assert_eq!(
        greeting("name: John"),
        "Hello again, John. How can I help you today?"
    );
}

fn tool(name: &str, parameters: Value) -> Tool {
    Tool {
        name: name.to_owned(),
        parameters,
    }
}

/// All the tools there may be.
fn tools() -> Vec<Tool> {
    let text = |name: &str| json!({ "type": "object", "properties": { name: { "type": "string" } }, "required": [name] });
    let memory = json!({ "type": "object", "required": ["category", "key", "value"], "properties": {
        "category": { "type": "string", "enum": ["personal", "preference", "note"] },
        "key": { "type": "string" }, "value": { "type": "string" } } });
    vec![
        tool("getConnectionPoolStats", Value::Null),
        tool(
            "cleanupConnectionPool",
            json!({ "type": "object", "properties": {} }),
        ),
        tool("remember", memory),
        tool("recallMemories", text("query")),
        tool("forget_memory", text("query")),
    ]
}

#[test]
fn a_wish_calls_the_tool_for_it() {
    for (text, name, arguments) in [
        (
            "show me the connection statistics",
            "getConnectionPoolStats",
            json!({}),
        ),
        (
            "show me the connections to districts",
            "getConnectionPoolStats",
            json!({}),
        ),
        (
            "how many connections are there",
            "getConnectionPoolStats",
            json!({}),
        ),
        (
            "please clean up your connections",
            "cleanupConnectionPool",
            json!({}),
        ),
        (
            "please clean up their connection",
            "cleanupConnectionPool",
            json!({}),
        ),
        (
            "remember that i like green tea",
            "remember",
            json!({ "category": "preference", "key": "likes", "value": "green tea" }),
        ),
        (
            "what do you remember about me",
            "recallMemories",
            json!({ "query": "user" }),
        ),
        (
            "what is my name",
            "recallMemories",
            json!({ "query": "name" }),
        ),
        (
            "forget that i like tea",
            "forget_memory",
            json!({ "query": "tea" }),
        ),
    ] {
        let conversation = Conversation {
            tools: tools(),
            ..user_said(&[text])
        };
        let Reply::Call(calls) = reply(&conversation) else {
            panic!("{text:?} called nothing")
        };
        assert_eq!(calls[0].name, name, "{text:?}");
        let given: Value = serde_json::from_str(&calls[0].arguments).unwrap();
        assert_eq!(given, arguments, "{text:?}");
    }
}

/// What is said after a tool was called and gave `result`.
fn after_tool(said_by_user: &str, name: &str, result: &str) -> String {
    let mut conversation = Conversation {
        tools: tools(),
        ..user_said(&[said_by_user])
    };
    let call = Call {
        id: "1".into(),
        name: name.into(),
        arguments: "{}".into(),
    };
    conversation.messages.push(Message {
        calls: vec![call],
        ..message(Role::Assistant, "")
    });
    let answers = Some("1".to_owned());
    conversation.messages.push(Message {
        answers,
        ..message(Role::Tool, result)
    });
    said(&conversation)
}

#[test]
fn statistics_are_said_with_a_number_or_two() {
    for (result, expected) in [
        (
            r#"{"connections":{"open":2,"max":100},"requests":12}"#,
            "There are two connections and twelve requests.",
        ),
        (
            r#"{"services":{"openai":{"opened":1,"reused":9,"requests":10},"db":{"opened":2,"requests":5}}}"#,
            "There are three connections and fifteen requests.",
        ),
        (r#"{"openConnections":1}"#, "There is one connection."),
        (
            "3 open connections, 25 requests",
            "There are three connections and twenty five requests.",
        ),
        ("all fine", phrases::ALL_WELL),
        (r#"{"error":"pool is gone"}"#, phrases::FAILED),
    ] {
        let answer = after_tool("show me the statistics", "getConnectionPoolStats", result);
        assert_eq!(answer, expected, "{result}");
    }
}

#[test]
fn other_tools_are_answered_in_a_sentence() {
    for (text, name, result, expected) in [
        (
            "clean up",
            "cleanupConnectionPool",
            r#"{"closed":2}"#,
            phrases::CLEAN,
        ),
        (
            "remember that i like green tea",
            "remember",
            "saved",
            "Okay. I remember that you like green tea.",
        ),
        (
            "what do you remember",
            "recallMemories",
            r#"[{"key":"name","value":"John"},{"key":"likes","value":"tea"}]"#,
            "Your name is John. You like tea.",
        ),
        (
            "what do you remember",
            "recallMemories",
            "[]",
            phrases::NOTHING_KNOWN,
        ),
        ("forget it", "forget_memory", "{}", phrases::FORGOTTEN),
        ("do it", "somethingElse", "{}", phrases::DONE),
    ] {
        assert_eq!(
            after_tool(text, name, result),
            expected,
            "{name} gave {result}"
        );
    }
}

#[test]
fn a_forced_tool_is_called_with_what_was_told() {
    let profile = json!({ "type": "object", "properties": {
        "name": { "type": "string" }, "age": { "type": ["string", "null"] } }, "required": ["name"] });
    let conversation = Conversation {
        tools: vec![tool("save_profile", profile)],
        forced_tool: Some("save_profile".to_owned()),
        ..user_said(&["my name is john"])
    };
    let Reply::Call(calls) = reply(&conversation) else {
        panic!("nothing was called")
    };
    assert_eq!(calls[0].arguments, r#"{"name":"John"}"#);
}

#[test]
fn wanted_json_follows_its_schema() {
    let schema = json!({
        "type": "object", "additionalProperties": false, "required": ["facts", "summary"],
        "properties": {
            "summary": { "type": "string" },
            "facts": { "type": "array", "items": { "$ref": "#/$defs/fact" } },
        },
        "$defs": { "fact": { "type": "object", "required": ["category", "key", "value", "confidence"],
            "properties": {
                "category": { "type": "string", "enum": ["identity", "preferences", "personal"] },
                "key": { "type": "string" }, "value": { "type": "string" },
                "confidence": { "type": "number", "minimum": 0, "maximum": 1 },
                "expires": { "anyOf": [{ "type": "null" }, { "type": "string", "format": "date" }] },
            } } },
    });
    let transcript =
        "Extract facts.\nUser: my name is john\nAssistant: i like tea\nUser: i like green tea";
    let conversation = Conversation {
        schema: Some(schema),
        ..user_said(&[transcript])
    };
    let given: Value = serde_json::from_str(&said(&conversation)).unwrap();
    let expected = json!([
        { "category": "personal", "key": "name", "value": "John", "confidence": 1 },
        { "category": "preferences", "key": "likes", "value": "green tea", "confidence": 1 },
    ]);
    assert_eq!(given["facts"], expected);
    assert!(given["summary"].is_string());
}

/// What is extracted of an exchange, by a worker that remembers its callers.
fn remembered(input: &str) -> Value {
    let text = json!({ "type": "string" });
    let schema = json!({ "type": "object", "required": ["memories", "summary"], "properties": {
        "memories": { "type": "array", "items": { "type": "object",
            "required": ["category", "key", "value"],
            "properties": {
                "category": { "type": "string", "enum": ["FACT", "PREFERENCE"] },
                "key": text, "value": text } } },
        "summary": text } });
    let conversation = Conversation {
        schema: Some(schema),
        ..user_said(&[input])
    };
    serde_json::from_str(&said(&conversation)).unwrap()
}

#[test]
fn an_exchange_is_extracted_with_what_is_known() {
    let given = remembered(
        "Known already:\n- FACT name: John\n- PREFERENCE likes: green tea\n\nExchange:\n\
         User: call me jack and i live in london\nAssistant: i like london\n",
    );
    let expected = json!([
        { "category": "PREFERENCE", "key": "likes", "value": "green tea" },
        { "category": "FACT", "key": "name", "value": "Jack" },
        { "category": "FACT", "key": "home", "value": "London" },
    ]);
    assert_eq!(given["memories"], expected);
    let summary = "You like green tea. Your name is Jack. You live in London.";
    assert_eq!(given["summary"], summary);
}

#[test]
fn what_is_to_be_forgotten_is_not_extracted() {
    for said in ["forget that i like tea", "please forget my name is john"] {
        let given = remembered(&format!("Exchange:\nUser: {said}\n"));
        assert_eq!(given["memories"], json!([]), "{said}");
    }
    let given = remembered("Exchange:\nUser: do not forget that i like tea\n");
    assert_eq!(given["memories"][0]["value"], "tea");
}

#[test]
fn a_tool_that_forgets_is_told_what() {
    let parameters = json!({ "type": "object", "required": ["scope"], "properties": {
        "scope": { "type": "string", "enum": ["one", "category", "everything"] },
        "category": { "type": "string", "enum": ["FACT", "PREFERENCE"] },
        "key": { "type": "string" } } });
    for (text, scope, category, key) in [
        ("forget that i like tea", "one", "PREFERENCE", "likes"),
        ("please forget my name", "one", "FACT", "name"),
        ("forget everything about me", "everything", "FACT", "note"),
    ] {
        let conversation = Conversation {
            tools: vec![tool("forget", parameters.clone())],
            ..user_said(&[text])
        };
        let Reply::Call(calls) = reply(&conversation) else {
            panic!("{text:?} called nothing")
        };
        let given: Value = serde_json::from_str(&calls[0].arguments).unwrap();
        let expected = json!({ "scope": scope, "category": category, "key": key });
        assert_eq!(given, expected, "{text:?}");
    }
}

#[test]
fn a_schema_without_end_ends() {
    let schema = json!({ "$ref": "#/$defs/a", "$defs": { "a": {
        "type": "object", "properties": { "next": { "$ref": "#/$defs/a" } }, "required": ["next"] } } });
    let conversation = Conversation {
        schema: Some(schema),
        ..user_said(&["my name is john"])
    };
    assert!(said(&conversation).len() < 500);
}
