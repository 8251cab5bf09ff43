//! Every way in which services split, repeat and number tool calls.

use serde_json::json;

use super::*;

type Piece = (Option<u64>, &'static str, &'static str, &'static str);

fn delta((index, id, name, arguments): &Piece) -> CallDelta {
    CallDelta {
        index: *index,
        id: (*id).to_owned(),
        name: (*name).to_owned(),
        arguments: (*arguments).to_owned(),
        fields: Map::new(),
    }
}

/// Each inner list is one piece of the answer.
fn check(pieces: &[&[Piece]], expected: &[(&str, &str)]) {
    let mut calls = ToolCalls::default();
    for piece in pieces {
        calls.push(piece.iter().map(delta).collect()).unwrap();
    }
    let found: Vec<_> = calls
        .take()
        .into_iter()
        .map(|it| (it.name.clone(), it.arguments()))
        .collect();
    let found: Vec<_> = found
        .iter()
        .map(|(name, arguments)| (&**name, &**arguments))
        .collect();
    assert_eq!(found, expected, "{pieces:?}");
}

const ONE: &[(&str, &str)] = &[("f", "{\"x\":1}")];
const TWO: &[(&str, &str)] = &[("f", "{\"x\":1}"), ("g", "{\"y\":2}")];

/// One call, each time in other pieces.
const ONE_IN_PIECES: &[&[&[Piece]]] = &[
    // As OpenAI does it.
    &[
        &[(Some(0), "a", "f", "")],
        &[(Some(0), "", "", "{\"x\"")],
        &[(Some(0), "", "", ":1}")],
    ],
    // Whole.
    &[&[(Some(0), "a", "f", "{\"x\":1}")]],
    // The name, or everything, with each piece.
    &[
        &[(Some(0), "a", "f", "{\"x\"")],
        &[(Some(0), "a", "f", ":1}")],
    ],
    &[
        &[(Some(0), "a", "f", "{\"x\":1}")],
        &[(Some(0), "a", "f", "{\"x\":1}")],
    ],
    &[
        &[(Some(0), "", "f", "{\"x\":1}")],
        &[(Some(0), "", "f", "{\"x\":1}")],
    ],
    // No index, no id, or the id late.
    &[&[(None, "a", "f", "{\"x\"")], &[(None, "", "", ":1}")]],
    &[&[(None, "", "f", "{\"x\"")], &[(None, "", "", ":1}")]],
    &[
        &[(Some(0), "", "f", "")],
        &[(Some(0), "a", "", "{\"x\":1}")],
    ],
    // The name late, or after the arguments.
    &[
        &[(Some(0), "a", "", "")],
        &[(Some(0), "", "f", "")],
        &[(Some(0), "", "", "{\"x\":1}")],
    ],
    &[
        &[(Some(0), "a", "", "{\"x\":1}")],
        &[(Some(0), "", "f", "")],
    ],
    // Another id with each piece.
    &[
        &[(Some(0), "a", "f", "")],
        &[(Some(0), "b", "", "{\"x\"")],
        &[(Some(0), "c", "", ":1}")],
    ],
    // An index that counts pieces, or that jumps.
    &[
        &[(Some(0), "a", "f", "")],
        &[(Some(1), "", "", "{\"x\"")],
        &[(Some(2), "", "", ":1}")],
    ],
    &[
        &[(Some(7), "a", "f", "{\"x\"")],
        &[(Some(7), "", "", ":1}")],
    ],
    // Arguments that begin empty, grow, or come again whole at the end.
    &[
        &[(Some(0), "a", "f", "{}")],
        &[(Some(0), "", "", "{\"x\":1}")],
    ],
    &[
        &[(Some(0), "a", "f", "null")],
        &[(Some(0), "", "", "{\"x\":1}")],
    ],
    &[
        &[(Some(0), "a", "f", "{")],
        &[(Some(0), "", "", "{\"x\"")],
        &[(Some(0), "", "", "{\"x\":1}")],
    ],
    &[
        &[(Some(0), "a", "f", "{\"x\"")],
        &[(Some(0), "", "", ":1}")],
        &[(Some(0), "a", "f", "{\"x\":1}")],
    ],
    // JSON in JSON.
    &[&[(Some(0), "a", "f", "\"{\\\"x\\\":1}\"")]],
    // The parts of one call in one piece of the answer.
    &[&[(Some(0), "a", "f", ""), (Some(0), "", "", "{\"x\":1}")]],
];

#[test]
fn one_call_in_pieces_of_any_kind() {
    for case in ONE_IN_PIECES {
        check(case, ONE);
    }
}

#[test]
fn a_name_in_parts_is_joined_and_one_that_grows_is_replaced() {
    check(
        &[
            &[(Some(0), "a", "re", "")],
            &[(Some(0), "", "call", "")],
            &[(Some(0), "", "", "{}")],
        ],
        &[("recall", "{}")],
    );
    check(
        &[
            &[(Some(0), "a", "re", "")],
            &[(Some(0), "a", "recall", "{}")],
        ],
        &[("recall", "{}")],
    );
}

#[test]
fn two_calls_numbered_in_any_way() {
    let cases: &[&[&[Piece]]] = &[
        // Side by side, in turns, one after the other.
        &[&[
            (Some(0), "a", "f", "{\"x\":1}"),
            (Some(1), "b", "g", "{\"y\":2}"),
        ]],
        &[
            &[(Some(0), "a", "f", "{\"x\"")],
            &[(Some(1), "b", "g", "{\"y\"")],
            &[(Some(0), "", "", ":1}")],
            &[(Some(1), "", "", ":2}")],
        ],
        // One index for all.
        &[
            &[(Some(0), "a", "f", "{\"x\":1}")],
            &[(Some(0), "b", "g", "{\"y\":2}")],
        ],
        &[
            &[(Some(0), "a", "f", "{\"x\":1}")],
            &[(Some(0), "b", "g", "")],
            &[(Some(0), "", "", "{\"y\":2}")],
        ],
        &[
            &[(Some(0), "a", "f", "{\"x\":1}")],
            &[(Some(0), "b", "", "")],
            &[(Some(0), "", "g", "{\"y\":2}")],
        ],
        &[&[
            (Some(0), "", "f", "{\"x\":1}"),
            (Some(0), "", "g", "{\"y\":2}"),
        ]],
        &[
            &[(Some(0), "", "f", "{\"x\":1}")],
            &[(Some(0), "", "g", "{\"y\":2}")],
        ],
        // No index.
        &[&[(None, "a", "f", "{\"x\":1}"), (None, "b", "g", "{\"y\":2}")]],
        &[&[(None, "", "f", "{\"x\":1}"), (None, "", "g", "{\"y\":2}")]],
        &[
            &[(None, "a", "f", "{\"x\":1}")],
            &[(None, "b", "g", "{\"y\"")],
            &[(None, "b", "", ":2}")],
        ],
        // One id for all.
        &[&[
            (Some(0), "a", "f", "{\"x\":1}"),
            (Some(1), "a", "g", "{\"y\":2}"),
        ]],
        &[&[
            (Some(0), "a", "f", "{\"x\":1}"),
            (Some(0), "a", "g", "{\"y\":2}"),
        ]],
        // An index that jumps.
        &[
            &[(Some(1), "a", "f", "{\"x\":1}")],
            &[(Some(5), "b", "g", "{\"y\":2}")],
        ],
    ];
    for case in cases {
        check(case, TWO);
    }
}

#[test]
fn the_same_tool_may_be_called_twice() {
    let twice = &[("f", "{\"x\":1}"), ("f", "{\"x\":2}")];
    check(
        &[&[
            (Some(0), "a", "f", "{\"x\":1}"),
            (Some(1), "b", "f", "{\"x\":2}"),
        ]],
        twice,
    );
    check(
        &[&[
            (Some(0), "", "f", "{\"x\":1}"),
            (Some(0), "", "f", "{\"x\":2}"),
        ]],
        twice,
    );
    check(
        &[
            &[(Some(0), "a", "f", "{\"x\":1}")],
            &[(Some(0), "b", "f", "{\"x\":2}")],
        ],
        twice,
    );
}

#[test]
fn a_call_without_a_name_is_none() {
    check(
        &[&[(Some(0), "a", "f", "{}"), (Some(1), "b", "", "{}")]],
        &[("f", "{}")],
    );
}

#[test]
fn fields_of_the_service_grow_with_their_call() {
    let mut calls = ToolCalls::default();
    for fields in [
        json!({"text": "ab", "list": [{"index": 0, "type": "t", "text": "x"}]}),
        json!({"text": "c", "list": [{"index": 0, "type": "t", "text": "y", "signature": "s"}]}),
    ] {
        let Value::Object(fields) = fields else {
            unreachable!()
        };
        let piece = CallDelta {
            fields,
            ..delta(&(Some(0), "a", "f", ""))
        };
        calls.push(vec![piece]).unwrap();
    }
    let expected =
        json!({"text": "abc", "list": [{"index": 0, "type": "t", "text": "xy", "signature": "s"}]});
    assert_eq!(json!(calls.take()[0].fields), expected);
}

#[test]
fn endless_calls_and_arguments_are_refused() {
    let mut calls = ToolCalls::default();
    let mut push = |index: u64| {
        let mut piece = delta(&(None, "", "f", "{}"));
        piece.index = Some(index);
        piece.id = index.to_string();
        calls.push(vec![piece])
    };
    assert_eq!((0..100).try_for_each(&mut push), Err(TooManyCalls));
    let mut calls = ToolCalls::default();
    let result = (0..100).try_for_each(|_| {
        let mut piece = delta(&(Some(0), "", "", ""));
        piece.arguments = "x".repeat(ARGUMENTS_BYTES_MAX / 50);
        calls.push(vec![piece])
    });
    assert_eq!(result, Err(TooManyCalls));
}
