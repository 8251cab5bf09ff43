//! Streams: how many, how long, whose, and how they end.

use livekit_protocol::{EncryptedPacket, Transcription};

use super::*;

const TEXT: &str = "my name is Zoë, and this is what I typed";

#[test]
fn headers_without_an_end_stay_few_and_the_next_text_is_read() {
    let mut scene = Scene::new();
    for n in 0..6_000 {
        scene.send(
            "mallory",
            Value::StreamHeader(header(&n.to_string(), n % 2 == 0)),
        );
        scene.check();
        scene.advance(Duration::from_millis(5));
    }
    assert_eq!(scene.client.len(), limits::STREAMS_PER_SENDER_MAX);
    assert_eq!(scene.refused(Kind::Stream), 6_000 - 16);
    for sender in ["alice", "mallory"] {
        scene.send(sender, Value::StreamHeader(text_header(sender, false)));
        scene.send(sender, chunk(sender, 0, TEXT.as_bytes()));
        scene.send(sender, trailer(sender));
        assert_eq!(scene.content[sender], TEXT.as_bytes(), "{sender}");
        assert!(!scene.failed.contains(sender));
    }
}

#[test]
fn the_participant_with_the_most_streams_pays_for_the_total() {
    let mut scene = Scene::new();
    for sender in ["a", "b", "c"] {
        for n in 0..limits::STREAMS_PER_SENDER_MAX {
            scene.send(
                sender,
                Value::StreamHeader(header(&format!("{sender}{n}"), false)),
            );
            scene.advance(Duration::from_millis(1));
        }
    }
    assert_eq!(scene.client.len(), limits::STREAMS_MAX);
    scene.send("alice", Value::StreamHeader(text_header("typed", false)));
    scene.check();
    assert!(scene.client.contains_key("typed"));
    assert_eq!(scene.client.len(), limits::STREAMS_MAX);
    for n in 0..100 {
        scene.send("b", Value::StreamHeader(header(&format!("more{n}"), false)));
    }
    assert!(scene.client.contains_key("typed"));
}

#[test]
fn a_silent_stream_is_ended_in_the_client_too() {
    let mut scene = Scene::new();
    scene.send("alice", Value::StreamHeader(header("silent", true)));
    scene.send("alice", Value::StreamHeader(header("slow", false)));
    for n in 0..4 {
        scene.advance(limits::STREAM_IDLE_MAX / 2);
        scene.send("alice", chunk("slow", n, b"x"));
        scene.check();
    }
    assert!(scene.client.contains_key("slow") && !scene.client.contains_key("silent"));
    assert_eq!(scene.failed, HashSet::from(["silent".to_owned()]));
    assert_eq!(scene.send("alice", chunk("silent", 0, b"late")), 0);
}

#[test]
fn no_other_participant_continues_or_ends_a_stream() {
    let mut scene = Scene::new();
    scene.send("alice", Value::StreamHeader(text_header("s", false)));
    scene.send("alice", chunk("s", 0, b"I want "));
    for forged in [
        chunk("s", 1, b"to pay Mallory"),
        trailer("s"),
        Value::StreamHeader(text_header("s", false)),
    ] {
        assert_eq!(scene.send("mallory", forged), 0);
    }
    assert_eq!(scene.refused(Kind::Stream), 3);
    scene.send("alice", chunk("s", 1, b"tea"));
    scene.send("alice", trailer("s"));
    assert_eq!(scene.content["s"], b"I want tea");
    assert!(scene.failed.is_empty());
}

#[test]
fn an_agent_may_write_in_the_name_of_the_participant_that_it_transcribes() {
    let mut scene = Scene::new();
    // The server lets the agent's header name the caller, and its chunks name the agent.
    for (identity, value) in [
        ("caller", Value::StreamHeader(text_header("words", false))),
        ("agent", chunk("words", 0, b"hello")),
        ("agent", trailer("words")),
    ] {
        let packet = DataPacket {
            participant_sid: "PA_agent".to_owned(),
            participant_identity: identity.to_owned(),
            value: Some(value),
            ..DataPacket::default()
        };
        assert_eq!(scene.send_bytes(packet.encode_to_vec()), 1);
    }
    assert_eq!(scene.content["words"], b"hello");
}

#[test]
fn a_compressed_stream_reaches_the_client_inflated() {
    let mut scene = Scene::new();
    let text = TEXT.repeat(800);
    let whole = Header {
        inline_content: Some(deflated(TEXT.as_bytes())),
        ..text_header("inline", true)
    };
    scene.send("alice", Value::StreamHeader(whole));
    assert_eq!(scene.content["inline"], TEXT.as_bytes());
    let total_length = Some(text.len() as u64);
    let long = Header {
        total_length,
        ..text_header("long", true)
    };
    scene.send("alice", Value::StreamHeader(long));
    for (n, piece) in deflated(text.as_bytes()).chunks(13).enumerate() {
        scene.send("alice", chunk("long", n as u64, piece));
        scene.send("alice", chunk("long", n as u64, piece)); // as after a lost connection
    }
    scene.send("alice", trailer("long"));
    assert!(scene.content["long"] == text.as_bytes());
    assert!(scene.failed.is_empty() && scene.client.is_empty());
}

#[test]
fn a_bomb_ends_its_stream_and_uses_up_the_senders_bytes_only() {
    let bomb = deflated(&vec![0; 60 << 20]);
    let mut scene = Scene::new();
    for n in 0..40 {
        let id = format!("bomb{n}");
        scene.send("mallory", Value::StreamHeader(header(&id, true)));
        scene.send("mallory", chunk(&id, 0, &bomb));
        scene.check();
        let inline = Header {
            inline_content: Some(bomb.clone()),
            ..header(&format!("inline{n}"), true)
        };
        scene.send("mallory", Value::StreamHeader(inline));
    }
    assert!(scene.client.is_empty());
    assert!(scene.bytes_passed < 20_000, "{}", scene.bytes_passed);
    assert!(scene.refused(Kind::Stream) > 0 && scene.refused(Kind::Bytes) > 0);
    scene.send("alice", Value::StreamHeader(text_header("typed", false)));
    assert_eq!(scene.send("alice", chunk("typed", 0, b"hello")), 1);
}

#[test]
fn a_stream_that_is_too_long_is_refused_so_that_its_reader_knows() {
    let announced = Header {
        total_length: Some(limits::STREAM_BYTES_MAX as u64 + 1),
        ..header("announced", false)
    };
    let mut scene = Scene::new();
    assert_eq!(scene.send("alice", Value::StreamHeader(announced)), 2);
    scene.send("alice", Value::StreamHeader(header("open", false)));
    for n in 0..60 {
        scene.send("alice", chunk("open", n, &[1; 60_000]));
    }
    let both = ["announced", "open"].map(str::to_owned);
    assert_eq!(scene.failed, HashSet::from(both));
    assert_eq!(scene.refused(Kind::Stream), 2);
    assert!(scene.content["open"].len() <= limits::STREAM_BYTES_MAX);
}

#[test]
fn heads_have_a_bound() {
    let mut scene = Scene::new();
    let large = HashMap::from([("key".to_owned(), "v".repeat(limits::HEADER_BYTES_MAX))]);
    let attributes = large.clone();
    let header_of = Header {
        attributes,
        ..header("large", false)
    };
    assert_eq!(scene.send("alice", Value::StreamHeader(header_of)), 0);
    scene.send("alice", Value::StreamHeader(header("s", false)));
    let trailer = Trailer {
        stream_id: "s".to_owned(),
        attributes: large,
        ..Trailer::default()
    };
    scene.send("alice", Value::StreamTrailer(trailer));
    scene.check();
    assert_eq!(scene.failed, HashSet::from(["s".to_owned()]));
    assert!(
        scene.bytes_passed < 1_000,
        "the attributes are not handed on"
    );
}

#[test]
fn topics_that_are_not_read_are_dropped_at_no_cost_and_without_a_count() {
    let mut scene = Scene::reading(Some(&["lk.chat"]));
    let other = Header {
        topic: "files".to_owned(),
        ..header("file", true)
    };
    scene.send("alice", Value::StreamHeader(other));
    for n in 0..2_000 {
        assert_eq!(scene.send("alice", chunk("file", n, &[1; 15_000])), 0);
    }
    assert_eq!(scene.n_passed, 0);
    assert!(Kind::ALL.iter().all(|kind| scene.refused(*kind) == 0));
    scene.send("alice", Value::StreamHeader(text_header("typed", false)));
    assert_eq!(scene.send("alice", chunk("typed", 0, b"hello")), 1);
}

#[test]
fn packets_that_the_client_cannot_take_do_not_reach_it() {
    let mut scene = Scene::new();
    // The client panics at this one.
    let no_track = Value::Transcription(Transcription::default());
    let future = Value::StreamHeader(Header {
        compression: 7,
        ..header("future", false)
    });
    let headless = Value::StreamHeader(Header {
        content_header: None,
        ..header("headless", false)
    });
    for value in [no_track, future, headless] {
        assert_eq!(scene.send("alice", value), 0);
    }
    assert_eq!(scene.send_bytes(b"no packet".to_vec()), 0);
    assert!(
        scene
            .guard
            .receive(scene.now, b"text".to_vec(), false)
            .is_empty()
    );
    assert_eq!(scene.refused(Kind::Malformed), 5);
    let encrypted = Value::EncryptedPacket(EncryptedPacket::default());
    assert_eq!(scene.send("alice", encrypted), 0);
    assert_eq!(scene.refused(Kind::Encrypted), 1);
}
