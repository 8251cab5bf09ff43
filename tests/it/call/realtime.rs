//! A spoken call with a model that hears and speaks: a real LiveKit server, and a stand-in for the
//! Realtime API that answers with a tone and says when it hears a voice. (aimock sends no sound.)

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use voxpool::agent::{AgentJobs, Profile, Services};
use voxpool::pool::EndpointConfig;
use voxpool::session::realtime::{Config, RealtimeModel};
use voxpool::session::{Agent, Greeting};
use voxpool::tools::ToolSet;
use voxpool::worker::{Stop, WorkerEnd};

use super::caller::Caller;
use super::{House, settings};
use crate::common::eventually;
use crate::common::livekit::LiveKit;
use crate::common::running::{RunningWorker, quick};
use crate::pool::stages::Stages;

/// What the stand-in was told, sound left out.
type Told = Arc<Mutex<Vec<Value>>>;

async fn stand_in() -> (String, Told) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let told = Told::default();
    let kept = Arc::clone(&told);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&kept)));
        }
    });
    (format!("http://{address}"), told)
}

/// One session: each response is 20 s of tone, sent at once; loud sound is a voice.
async fn serve(stream: TcpStream, told: Told) -> Option<()> {
    let mut socket = tokio_tungstenite::accept_async(stream).await.ok()?;
    let mut n_responses = 0;
    let mut is_voice = false;
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else {
            continue;
        };
        let event: Value = serde_json::from_str(&text).ok()?;
        let mut answers = Vec::new();
        match event["type"].as_str()? {
            "input_audio_buffer.append" => {
                let sound = STANDARD.decode(event["audio"].as_str()?).ok()?;
                let is_loud = sound
                    .chunks_exact(2)
                    .any(|pair| i16::from_le_bytes([pair[0], pair[1]]).unsigned_abs() > 3000);
                if is_loud && !std::mem::replace(&mut is_voice, true) {
                    answers.push(json!({"type": "input_audio_buffer.speech_started"}));
                }
            }
            "response.create" => {
                n_responses += 1;
                answers = response(n_responses);
                told.lock().expect("no panic").push(event);
            }
            _ => told.lock().expect("no panic").push(event),
        }
        for answer in answers {
            socket.send(Message::text(answer.to_string())).await.ok()?;
        }
    }
    Some(())
}

fn response(n: u32) -> Vec<Value> {
    let (response, item) = (format!("resp_{n}"), format!("item_{n}"));
    let tone: Vec<u8> = (0..24_000u32)
        .flat_map(|n| {
            let sample = (f64::from(n) * 0.13).sin() * 8000.0;
            (sample as i16).to_le_bytes()
        })
        .collect();
    let mut events = vec![
        json!({"type": "response.created", "response": {"id": response}}),
        json!({"type": "response.output_audio_transcript.delta", "response_id": response,
            "item_id": item, "delta": "one two three four five six seven eight nine ten"}),
    ];
    for _ in 0..20 {
        events.push(
            json!({"type": "response.output_audio.delta", "response_id": response,
            "item_id": item, "delta": STANDARD.encode(&tone)}),
        );
    }
    events.push(json!({"type": "response.done",
        "response": {"id": response, "status": "completed"}}));
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_speaks_is_heard_and_told_how_much_of_it_was_heard() {
    let (base_url, told) = stand_in().await;
    let stages = Stages::new(&base_url);
    let cache = stages.overview().cache;
    let shared = EndpointConfig {
        base_url,
        ..EndpointConfig::default()
    };
    let model = RealtimeModel::new(&stages.pool, &shared, &Config::default(), "").expect("a model");
    let agent = Agent {
        instructions: "Be kind.".to_owned(),
        greeting: Greeting::default(),
        greetings: None,
        stt: Arc::new(stages.stt),
        llm: Arc::new(stages.llm),
        tts: Arc::new(stages.tts),
        tools: ToolSet::default(),
    };
    let services = Services {
        pool: stages.pool,
        endpoints: Vec::new(),
        cache,
    };
    let profile = Profile {
        name: String::new(),
        agent,
        settings: settings(),
        rpc_tools: Vec::new(),
        rpc_callers: Vec::new(),
        tools: vec!["*".to_owned()],
        client_tools: Vec::new(),
        send_dtmf: false,
        session_methods: Vec::new(),
        show_instructions: false,
        realtime: Some(model),
    };
    let jobs = AgentJobs::new(profile, services);
    let server = LiveKit::start().await;
    let worker = RunningWorker::registered(server.server_config(), quick(""), Arc::new(jobs)).await;
    let voice = House::speech_of("one two three four five six seven eight nine").await;

    let caller = Caller::join(&server.url(), "realtime").await;
    caller.hears(50).await;
    let (_, ()) = tokio::join!(caller.hears_silence(), caller.say(&voice));
    let truncation = eventually("the service is told", async || {
        let told = told.lock().expect("no panic");
        let found = told
            .iter()
            .find(|it| it["type"] == "conversation.item.truncate");
        found.cloned()
    })
    .await;
    assert_eq!(truncation["item_id"], "item_1");
    let heard = Duration::from_millis(truncation["audio_end_ms"].as_u64().expect("a time"));
    assert!(heard > Duration::from_millis(400), "{heard:?}");
    assert!(heard < Duration::from_secs(19), "{heard:?}");
    let line = caller.reads(true, "one").await;
    assert!(!line.text.contains("ten"), "{line:?}");

    caller.hang_up().await;
    worker.stop(Stop::Drain).await;
    assert_eq!(worker.ended().await, WorkerEnd::Drained);
    let told = told.lock().expect("no panic");
    assert_eq!(told[0]["type"], "session.update");
}
