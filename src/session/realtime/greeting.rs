//! The greeting as it can be kept for many calls: made once by the model, words and sound.
//!
//! One that is made for a user whose memories are known is theirs, and never kept.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::RealtimeModel;
use super::protocol::{ClientEvent, OPERATION, RATE_HZ, ServerEvent, parse};
use crate::cache::CacheKey;
use crate::error::{CallError, ErrorKind, Service};
use crate::session::speech::Speech;
use crate::session::{Agent, GreetingMode};

/// What kind of value it is, and the version of its encoding.
const NAMESPACE: &str = "greeting:realtime:v1";
/// The longest that making one may take.
const MADE_WITHIN: Duration = Duration::from_secs(20);

/// What the model is told about its first words.
pub(super) fn instructions(agent: &Agent, instructions: &str) -> Option<String> {
    let text = &agent.greeting.text;
    match agent.greeting.mode {
        GreetingMode::None => None,
        GreetingMode::Say => Some(format!("Say exactly this and nothing else: {text}")),
        GreetingMode::Generate => Some(format!("{instructions}\n\n{text}")),
    }
}

/// The greeting that calls share, from the cache or made now; `None` when they share none.
pub(super) fn kept(
    model: &RealtimeModel,
    agent: &Agent,
) -> Option<BoxFuture<'static, Result<Speech, CallError>>> {
    let greetings = agent
        .greetings
        .as_ref()
        .filter(|_| agent.greeting.is_cached)?;
    let asked = instructions(agent, &agent.instructions)?;
    let config = &model.services[0].config;
    let key = CacheKey::new(
        NAMESPACE,
        [
            &config.model,
            &config.voice,
            &model.language,
            &agent.instructions,
            &asked,
        ],
    );
    let (cache, ttl) = (greetings.cache(), Some(agent.greeting.ttl));
    let (model, standing) = (model.clone(), agent.instructions.clone());
    let making = async move {
        let make = || async move {
            let made = tokio::time::timeout(MADE_WITHIN, make(&model, &standing, asked));
            made.await
                .unwrap_or_else(|_| Err(failure(ErrorKind::Timeout)))
        };
        Box::pin(cache.cached_by_one_worker(key, ttl, make)).await
    };
    Some(making.boxed())
}

/// Has the model say it on a connection of its own.
async fn make(model: &RealtimeModel, standing: &str, asked: String) -> Result<Speech, CallError> {
    let (place, mut socket) = model.connect(Duration::ZERO).await?;
    if place != 0 {
        // Kept it would be found under the name of another voice.
        return Err(failure(ErrorKind::Unavailable));
    }
    let config = &model.services[place].config;
    let session = ClientEvent::session(config, &model.language, standing, &[]);
    for event in [session, ClientEvent::respond(Some(asked), false)] {
        if !socket.send(event.to_json()) {
            return Err(failure(ErrorKind::Unavailable));
        }
    }
    let (mut text, mut sound) = (String::new(), Vec::<u8>::new());
    while let Some(message) = socket.next().await {
        match parse(&message) {
            ServerEvent::Words { text: more, .. } => text += &more,
            ServerEvent::Sound { samples, .. } => {
                sound.extend(samples.iter().flat_map(|it| it.to_le_bytes()));
            }
            ServerEvent::ResponseDone {
                failure: Some(error),
                ..
            }
            | ServerEvent::Refused { error, .. } => return Err(error),
            ServerEvent::ResponseDone { .. } if sound.is_empty() => {
                return Err(failure(ErrorKind::Malformed));
            }
            ServerEvent::ResponseDone { .. } => {
                return Ok(Speech {
                    sample_rate_hz: RATE_HZ,
                    sentences: vec![(text, sound.into())],
                });
            }
            _ => {}
        }
    }
    Err(failure(ErrorKind::Unavailable))
}

fn failure(kind: ErrorKind) -> CallError {
    CallError::new(Service::OpenAi, OPERATION, kind)
}
