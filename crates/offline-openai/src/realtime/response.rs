//! Makes an answer: what the brain says, spoken sentence by sentence.

use std::sync::Arc;

use axum::body::Bytes;
use futures::{StreamExt, future};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::brain::{self, Call, Reply};
use crate::chat;
use crate::engine::{Engine, flite::Voice};
use crate::faults::FaultKind;
use crate::ids::fresh_id;
use crate::routes::App;
use crate::sentences::sentences;
use crate::speech;

/// Pieces of sound that get through before a fault stops the answer.
const PIECES_BEFORE: usize = 2;

/// A part of an answer, in order.
pub(super) enum Piece {
    /// More words; of its sound, unless the answer is to be read.
    Text(String),
    /// More sound.
    Sound(Bytes),
    /// Tools to be called.
    Calls(Vec<Call>),
    /// That was all.
    End,
    /// It broke off: type and code of the error.
    Failed(&'static str, &'static str),
    /// The connection breaks here: a fault that was asked for.
    Cut,
    /// An event that cannot be read: a fault that was asked for.
    Malformed,
}

/// What an answer is made of.
pub(super) struct Making {
    pub(super) app: Arc<App>,
    pub(super) conversation: brain::Conversation,
    /// See [`super::settings::Settings::for_response`].
    pub(super) asked: Value,
    pub(super) fault: Option<FaultKind>,
}

impl Making {
    /// Makes the answer; `pieces` takes its parts until nobody wants them any more.
    pub(super) async fn make(self, pieces: mpsc::Sender<Piece>) {
        // Whoever cancels an answer drops the other end.
        self.say(&pieces).await.ok();
    }

    async fn say(&self, pieces: &mpsc::Sender<Piece>) -> Result<(), mpsc::error::SendError<Piece>> {
        match self.fault {
            Some(FaultKind::Hang) => future::pending().await,
            Some(FaultKind::RateLimited | FaultKind::QuotaExceeded) => {
                return pieces
                    .send(Piece::Failed("requests", "rate_limit_exceeded"))
                    .await;
            }
            Some(FaultKind::ServerError | FaultKind::Unauthorized) => {
                return pieces
                    .send(Piece::Failed("server_error", "server_error"))
                    .await;
            }
            Some(FaultKind::Malformed) => pieces.send(Piece::Malformed).await?,
            _ => {}
        }
        let delays = self.app.config.delays;
        sleep(delays.llm_first_token).await;
        match chat::reply(&self.app, &self.conversation) {
            Reply::Call(mut calls) => {
                for call in &mut calls {
                    call.id = fresh_id("call");
                }
                pieces.send(Piece::Calls(calls)).await?;
            }
            Reply::Say(text) if self.asked["output_modalities"][0] == "text" => {
                for word in text.split_inclusive(' ') {
                    pieces.send(Piece::Text(word.to_owned())).await?;
                    sleep(delays.llm_token).await;
                }
            }
            Reply::Say(text) => {
                sleep(delays.tts_first_byte).await;
                if !self.speak(&text, pieces).await? {
                    return Ok(());
                }
            }
        }
        pieces.send(Piece::End).await
    }

    /// False when it broke off.
    async fn speak(
        &self,
        text: &str,
        pieces: &mpsc::Sender<Piece>,
    ) -> Result<bool, mpsc::error::SendError<Piece>> {
        let voice = self.asked["voice"].as_str().and_then(Voice::named);
        let voice = voice.unwrap_or_default();
        let sentences = match &self.app.engine {
            Engine::Fixed { .. } => vec![text.to_owned()],
            Engine::Real { .. } => sentences(text),
        };
        let mut n_pieces = 0;
        for (place, sentence) in sentences.iter().enumerate() {
            let space = if place == 0 { "" } else { " " };
            let words = format!("{space}{sentence}");
            for word in words.split_inclusive(' ') {
                pieces.send(Piece::Text(word.to_owned())).await?;
            }
            let mut sound = speech::pieces(Arc::clone(&self.app), sentence, voice, 1.0);
            while let Some(piece) = sound.next().await {
                let Ok(piece) = piece else {
                    let failed = Piece::Failed("server_error", "speech_failed");
                    pieces.send(failed).await?;
                    return Ok(false);
                };
                pieces.send(Piece::Sound(piece)).await?;
                n_pieces += 1;
                if n_pieces == PIECES_BEFORE {
                    match self.fault {
                        Some(FaultKind::Cut) => pieces.send(Piece::Cut).await?,
                        Some(FaultKind::Stall) => future::pending().await,
                        _ => {}
                    }
                }
            }
        }
        Ok(true)
    }
}
