//! The second half of a reply: from the sound of its sentences to what the user hears.
//!
//! One task, three futures side by side: writing (see `writing`), fetching the sound as fast as it
//! comes, so that no connection is held for as long as the voice takes, and playing it at its pace.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::ahead::{Buffer, Piece, Reader, Sound, ahead};
use super::apology::Stage;
use super::reply::{Failure, Making, ReplyEvent, SILENCE};
use super::spoken::SentenceId;
use super::writing::{Source, broken, next, write};
use crate::audio::AudioFrame;
use crate::excess::contained;

/// What is queued for playing at a time: what was heard is known to this grain.
const CHUNK: Duration = Duration::from_millis(40);

/// Makes a reply, lets it be heard once it is released, and reports.
pub(super) async fn make(making: Making, source: Source) {
    let (pieces, pieces_out, reader, buffer) = ahead();
    // A bug in one of them, or in what it calls, is a failure of its stage: what came before it is
    // still heard, and the session apologises as for any other.
    let (written, fetched, played) = tokio::join!(
        contained(write(&making, source, pieces)),
        contained(fetch(&making, pieces_out, reader)),
        contained(play(&making, buffer)),
    );
    let written = written.unwrap_or_else(|bug| Err(broken(Stage::Llm, bug)));
    let fetched = fetched.unwrap_or_else(|bug| Err(broken(Stage::Tts, bug)));
    let played = played.map_err(|bug| broken(Stage::Tts, bug));
    let result = played.and(fetched).and(written);
    making.report(ReplyEvent::Done(result)).await;
}

/// Moves the sound of the pieces on, in order. Ends at the first failure; what came before it is
/// still played.
async fn fetch(
    making: &Making,
    mut pieces: mpsc::Receiver<Piece>,
    reader: Reader,
) -> Result<(), Failure> {
    while let Some(mut piece) = pieces.recv().await {
        let stall_max = making.config.stall_max;
        while let Some(frame) = next(&mut piece.frames, stall_max, Stage::Tts).await? {
            if let Some(id) = piece.sentence {
                making.log(|log| log.arrive(id, frame.duration()));
            }
            reader.push(piece.sentence, frame).await;
        }
        if let Some(id) = piece.sentence {
            making.log(|log| log.complete(id));
            reader.end(id).await;
        }
    }
    Ok(())
}

async fn play(making: &Making, mut sounds: Buffer) {
    making.released.wait().await;
    let mut player = Player {
        making,
        is_audible: false,
        silent_since: None,
        is_paused: making.is_paused.subscribe(),
        recent: VecDeque::new(),
        reported: String::new(),
    };
    while let Some(sound) = player.next(&mut sounds).await {
        match sound {
            Sound::Frame(sentence, frame) => player.play(sentence, frame).await,
            Sound::End(sentence) => {
                player.wait_while_paused().await;
                let at = making.output.position() + making.output.queued();
                making.log(|log| log.pass(sentence, at));
                player.report_heard().await;
            }
        }
    }
    player.drain().await;
}

struct Player<'a> {
    making: &'a Making,
    is_audible: bool,
    /// Since when all that was queued has been heard.
    silent_since: Option<Instant>,
    is_paused: watch::Receiver<bool>,
    /// What was queued last and may not have been heard, with the position of each.
    recent: VecDeque<(Duration, AudioFrame)>,
    /// The text that was reported as heard.
    reported: String,
}

impl Player<'_> {
    /// The next sound. What was played is heard meanwhile, and perhaps comes to its end.
    async fn next(&mut self, sounds: &mut Buffer) -> Option<Sound> {
        while self.is_audible {
            if let Ok(sound) = tokio::time::timeout(CHUNK, sounds.next()).await {
                return sound;
            }
            self.wait_while_paused().await;
            self.report_heard().await;
            self.notice_silence().await;
        }
        sounds.next().await
    }

    async fn notice_silence(&mut self) {
        if !self.making.output.queued().is_zero() {
            self.silent_since = None;
            return;
        }
        let silence = self.silent_since.get_or_insert_with(Instant::now).elapsed();
        if silence >= SILENCE {
            self.is_audible = false;
            self.making.report(ReplyEvent::Silent { silence }).await;
        }
    }

    async fn play(&mut self, sentence: Option<SentenceId>, frame: AudioFrame) {
        let rate = frame.sample_rate_hz.max(1);
        let n_samples = (CHUNK.as_millis() as usize * rate as usize / 1000).max(1);
        for chunk in frame.samples.chunks(n_samples) {
            let chunk = AudioFrame {
                samples: chunk.to_vec(),
                sample_rate_hz: rate,
            };
            self.wait_while_paused().await;
            let output = &self.making.output;
            let at = output.position() + output.queued();
            if let Some(id) = sentence {
                let duration = chunk.duration();
                self.making.log(|log| log.queue(id, at, duration));
            }
            self.forget_heard();
            self.recent.push_back((at, chunk.clone()));
            output.play(chunk).await;
            self.silent_since = None;
            if !std::mem::replace(&mut self.is_audible, true) {
                self.making.report(ReplyEvent::Audible).await;
            }
            self.report_heard().await;
        }
    }

    /// Waits until the last sound has left.
    async fn drain(&mut self) {
        loop {
            self.wait_while_paused().await;
            let queued = self.making.output.queued();
            if self.has_been_paused() {
                // What is missing was cut off, not heard.
                continue;
            }
            if queued.is_zero() {
                break;
            }
            tokio::time::sleep(queued.min(CHUNK)).await;
            self.report_heard().await;
        }
        self.report_heard().await;
    }

    /// Waits until the agent may speak, and queues again what a pause has cut off. Positions count what
    /// was heard, so the record of what was said stays true.
    async fn wait_while_paused(&mut self) {
        while self.has_been_paused() {
            self.report_heard().await;
            // The sender lives as long as this task.
            self.is_paused.wait_for(|is_paused| !is_paused).await.ok();
            self.forget_heard();
            for place in 0..self.recent.len() {
                if self.has_been_paused() {
                    break;
                }
                let frame = self.recent[place].1.clone();
                self.making.output.play(frame).await;
            }
        }
    }

    /// Whether a pause began since the last one was waited for, also if it is over.
    fn has_been_paused(&self) -> bool {
        *self.is_paused.borrow() || self.is_paused.has_changed().unwrap_or(false)
    }

    /// Keeps what has not been heard, from the sample on at which the output stands.
    fn forget_heard(&mut self) {
        let position = self.making.output.position();
        while let Some((at, frame)) = self.recent.front_mut() {
            let heard = position.saturating_sub(*at);
            if heard < frame.duration() {
                let rate = u128::from(frame.sample_rate_hz);
                let n_heard = heard.as_micros() * rate / 1_000_000;
                frame.samples.drain(..usize::try_from(n_heard).unwrap_or(0));
                *at += heard;
                return;
            }
            self.recent.pop_front();
        }
    }

    async fn report_heard(&mut self) {
        let position = self.making.output.position();
        let heard = self.making.log(|log| log.heard_text(position));
        // An estimate may have been too high for a moment; what was shown stays shown.
        if let Some(delta) = heard.strip_prefix(&self.reported)
            && !delta.is_empty()
        {
            let delta = delta.to_owned();
            self.reported = heard;
            self.making.report(ReplyEvent::Heard(delta)).await;
        }
    }
}
