//! The task that listens to one utterance: sound to the service as it is spoken, words back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use super::protocol::{self, RATE_HZ};
use super::transcript::{Change, Transcript};
use super::{RealtimeStt, SAMPLES_MIN};
use crate::audio::AudioFrame;
use crate::audio::resample::Resampler;
use crate::audio::vad::SAMPLE_RATE_HZ;
use crate::error::CallError;
use crate::pool::{Sockets, TakenSocket};
use crate::stt::Hearing;

/// Sound that waits while a connection is opened: some seconds of frames of 10 ms. With more, the
/// utterance is transcribed as a whole.
const COMMANDS_MAX: usize = 800;
/// Versions of the words that wait to be shown; each has all words, so one may be left out.
const WORDS_MAX: usize = 32;
/// What is sent at a time: 50 ms.
const PIECE_SAMPLES: usize = RATE_HZ as usize / 20;
/// How long unfinished words of an utterance that is over may keep a connection.
const SETTLE_MAX: Duration = Duration::from_secs(2);

enum Command {
    Sound(Vec<i16>),
    Transcribe(oneshot::Sender<Result<String, CallError>>),
}

/// Listens to an utterance while it is spoken.
pub(super) struct RealtimeHearing {
    stt: RealtimeStt,
    commands: mpsc::Sender<Command>,
    words: mpsc::Receiver<String>,
    has_lost_sound: AtomicBool,
}

impl RealtimeHearing {
    /// Takes a connection and begins. Needs a Tokio runtime.
    pub(super) fn begin(stt: RealtimeStt) -> Self {
        let (commands, commands_out) = mpsc::channel(COMMANDS_MAX);
        let (words, words_out) = mpsc::channel(WORDS_MAX);
        tokio::spawn(listen(stt.sockets.clone(), commands_out, words));
        Self {
            stt,
            commands,
            words: words_out,
            has_lost_sound: AtomicBool::new(false),
        }
    }
}

impl Hearing for RealtimeHearing {
    fn hear(&self, frame: &AudioFrame) {
        let sound = Command::Sound(frame.samples.clone());
        if self.commands.try_send(sound).is_err() {
            self.has_lost_sound.store(true, Ordering::Relaxed);
        }
    }

    fn transcribe(&self, utterance: AudioFrame) -> BoxFuture<'static, Result<String, CallError>> {
        let has_all = !self.has_lost_sound.load(Ordering::Relaxed);
        let first = Arc::new(AtomicBool::new(has_all));
        let (stt, commands) = (self.stt.clone(), self.commands.clone());
        let pool = stt.pool.clone();
        let attempt = move |lease| {
            let is_live = first.swap(false, Ordering::Relaxed);
            let (stt, commands, utterance) = (stt.clone(), commands.clone(), utterance.clone());
            async move {
                if is_live && let Some(answer) = ask(&commands).await {
                    return answer;
                }
                stt.transcribe_whole(&lease, &utterance).await
            }
        };
        let spec = self.stt.spec();
        async move { pool.call(spec, attempt).await }.boxed()
    }

    fn poll_words(&mut self, context: &mut Context<'_>) -> Poll<String> {
        match self.words.poll_recv(context) {
            Poll::Ready(Some(words)) => Poll::Ready(words),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

/// Asks the task for the words so far; `None` when its connection is gone.
async fn ask(commands: &mpsc::Sender<Command>) -> Option<Result<String, CallError>> {
    let (answer, answered) = oneshot::channel();
    commands.send(Command::Transcribe(answer)).await.ok()?;
    answered.await.ok()
}

/// Ends when nobody is left who could say or ask something, or with its connection.
async fn listen(
    sockets: Sockets,
    mut commands: mpsc::Receiver<Command>,
    words: mpsc::Sender<String>,
) {
    let socket = match sockets.take().await {
        Ok(socket) => socket,
        Err(error) => {
            // Whoever asks for the words will make a call of their own, and meet it again.
            tracing::debug!(%error, "nobody listens while the user speaks");
            return;
        }
    };
    let mut line = Line::new(socket);
    let mut asked: Vec<oneshot::Sender<Result<String, CallError>>> = Vec::new();
    loop {
        tokio::select! {
            command = commands.recv() => {
                let is_open = match command {
                    Some(Command::Sound(samples)) => line.hear(&samples),
                    Some(Command::Transcribe(answer)) => {
                        asked.push(answer);
                        line.commit()
                    }
                    None => break,
                };
                if !is_open {
                    return;
                }
            }
            message = line.socket.next() => {
                let Some(message) = message else { return };
                match line.transcript.on_event(protocol::parse(&message)) {
                    // Lost only if there is a newer version.
                    Ok(Change::Words(text)) => drop(words.try_send(text)),
                    Ok(Change::Nothing) => {}
                    // The next try has a connection of its own.
                    Err(error) => {
                        tracing::debug!(%error, "a transcription was refused");
                        return;
                    }
                }
            }
        }
        asked.retain(|answer| !answer.is_closed());
        if !asked.is_empty()
            && let Some(answer) = line.transcript.answer()
        {
            for waiting in asked.drain(..) {
                let answer = match &answer {
                    Ok(text) => Ok(text.clone()),
                    Err(error) => Err(error.without_cause()),
                };
                // Who left in this moment does not need it.
                waiting.send(answer).ok();
            }
        }
    }
    line.leave().await;
}

/// A connection and what was said on it for this utterance.
pub(super) struct Line {
    socket: TakenSocket,
    transcript: Transcript,
    resampler: Resampler,
    /// Sound that is not sent yet.
    piece: Vec<i16>,
    /// Samples since the last commit.
    n_uncommitted: usize,
}

impl Line {
    pub(super) fn new(socket: TakenSocket) -> Self {
        Self {
            socket,
            transcript: Transcript::default(),
            resampler: Resampler::new(SAMPLE_RATE_HZ, RATE_HZ),
            piece: Vec::new(),
            n_uncommitted: 0,
        }
    }

    /// Sends sound of 16 kHz on, in pieces; `false` when the connection is gone.
    pub(super) fn hear(&mut self, samples: &[i16]) -> bool {
        self.piece.extend(self.resampler.push(samples));
        self.send_pieces(PIECE_SAMPLES)
    }

    /// Has the sound so far transcribed; `false` when the connection is gone.
    pub(super) fn commit(&mut self) -> bool {
        self.piece.extend(self.resampler.flush());
        let n_samples = self.n_uncommitted + self.piece.len();
        if n_samples == 0 {
            return true;
        }
        // Services refuse shorter ones.
        let n_missing = SAMPLES_MIN.saturating_sub(n_samples);
        self.piece.resize(self.piece.len() + n_missing, 0);
        self.transcript.commit();
        let is_sent = self.send_pieces(1);
        self.n_uncommitted = 0;
        is_sent && self.socket.send(protocol::commit())
    }

    /// The words of everything committed, as soon as they are known; `None` when the connection is
    /// gone.
    pub(super) async fn answer(&mut self) -> Option<Result<String, CallError>> {
        loop {
            if let Some(answer) = self.transcript.answer() {
                return Some(answer);
            }
            let message = self.socket.next().await?;
            if let Err(error) = self.transcript.on_event(protocol::parse(&message)) {
                return Some(Err(error));
            }
        }
    }

    /// Gives the connection back once nothing of this utterance can come any more, or closes it.
    pub(super) async fn leave(mut self) {
        if self.n_uncommitted > 0 {
            self.transcript.clear();
            if !self.socket.send(protocol::clear()) {
                return;
            }
        }
        let settling = async {
            while !self.transcript.is_settled() {
                let message = self.socket.next().await?;
                self.transcript.on_event(protocol::parse(&message)).ok()?;
            }
            Some(())
        };
        if let Ok(Some(())) = tokio::time::timeout(SETTLE_MAX, settling).await {
            self.socket.give_back();
        }
    }

    fn send_pieces(&mut self, n_min: usize) -> bool {
        while self.piece.len() >= n_min {
            let n_samples = self.piece.len().min(PIECE_SAMPLES);
            let piece: Vec<i16> = self.piece.drain(..n_samples).collect();
            self.n_uncommitted += piece.len();
            if !self.socket.send(protocol::append(&piece)) {
                return false;
            }
        }
        true
    }
}
