//! A spoken call whose words are known while they are spoken: a stand-in for OpenAI's realtime
//! transcription that knows two more words with each half second of voice. (aimock knows them only
//! when the sound is committed.)

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::{SinkExt, StreamExt};
use offline_openai::Fixed;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use voxpool::agent::Profile;
use voxpool::session::Greeting;
use voxpool::stt::Mode;

use super::House;
use super::caller::Caller;
use crate::common::eventually;
use crate::pool::stages::Options;

const WORDS: [&str; 3] = ["please stop", "the story", "right there"];

async fn transcriber() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    format!("http://{address}")
}

async fn serve(stream: TcpStream) -> Option<()> {
    let mut socket = tokio_tungstenite::accept_async(stream).await.ok()?;
    let (mut n_items, mut n_loud, mut n_known) = (0, 0, 0);
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else {
            continue;
        };
        let event: Value = serde_json::from_str(&text).ok()?;
        let item = format!("item_{n_items}");
        let answer = match event["type"].as_str()? {
            "input_audio_buffer.append" => {
                let sound = STANDARD.decode(event["audio"].as_str()?).ok()?;
                let pairs = sound.chunks_exact(2);
                n_loud += pairs
                    .filter(|pair| i16::from_le_bytes([pair[0], pair[1]]).unsigned_abs() > 300)
                    .count();
                if n_loud < 6_000 || n_known == WORDS.len() {
                    continue;
                }
                n_loud = 0;
                n_known += 1;
                json!({"type": "conversation.item.input_audio_transcription.delta",
                    "item_id": item, "delta": format!("{} ", WORDS[n_known - 1])})
            }
            "input_audio_buffer.commit" => {
                n_items += 1;
                let transcript = WORDS[..n_known].join(" ");
                (n_loud, n_known) = (0, 0);
                json!({"type": "conversation.item.input_audio_transcription.completed",
                    "item_id": item, "transcript": transcript})
            }
            "session.update" => json!({"type": "session.updated", "session": {}}),
            "input_audio_buffer.clear" => json!({"type": "input_audio_buffer.cleared"}),
            _ => continue,
        };
        socket.send(Message::text(answer.to_string())).await.ok()?;
    }
    Some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn words_are_shown_and_stop_the_agent_while_they_are_spoken() {
    let fixed = Fixed {
        reply: Some("I see. ".to_owned()),
        tone: Duration::from_secs(20),
        ..Fixed::default()
    };
    let greeting = Greeting {
        text: "A very long greeting.".to_owned(),
        ..Greeting::default()
    };
    let stt = transcriber().await;
    let options = || {
        let mut options = Options::default();
        options.stt.mode = Mode::Realtime;
        options.stt.base_url = stt.clone();
        options
    };
    // No length of voice stops the agent: only words do.
    let change = |profile: &mut Profile| profile.settings.turn.interruption.min_words = 2;
    let house = House::build(Some(fixed), greeting, None, options, change).await;
    let speaking =
        House::speech_of("one two three four five six seven eight nine ten eleven twelve").await;
    let caller = Caller::join(&house.server.url(), "interim").await;
    caller.hears(100).await;
    let speaks = async {
        caller.say(&speaking).await;
        caller.own_lines()
    };
    let silenced = async {
        caller.hears_silence().await;
        caller.own_lines()
    };
    let (_, when_silent) = tokio::join!(speaks, silenced);
    let states = caller.states();
    assert!(!when_silent.is_empty(), "words came first: {states:?}");
    assert!(
        when_silent.iter().all(|line| !line.is_final),
        "the caller was still speaking: {when_silent:?}"
    );
    let last = caller.reads(false, "please stop").await;
    let lines = caller.own_lines();
    let texts: Vec<&str> = (lines.iter())
        .filter(|line| line.segment == last.segment)
        .map(|line| line.text.as_str())
        .collect();
    assert_eq!(texts[0], "please stop", "{lines:?}");
    assert!(texts.len() >= 3, "they grow: {texts:?}");
    let are_shown = lines.iter().all(|line| line.segment == last.segment);
    assert!(are_shown, "one segment: {lines:?}");
    eventually("the agent answers", async || {
        (caller.n_lines("I see") > 0 || caller.states().iter().any(|it| it == "thinking"))
            .then_some(())
    })
    .await;
    caller.room.close().await.expect("the caller hangs up");
    house.close().await;
}
