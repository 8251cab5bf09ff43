//! What a reply has ahead of the player: speech that was asked for, and sound that has arrived.
//!
//! A voice that sends faster than it speaks is read at once into the reply's own buffer, so that its
//! connection is free for other callers while the sound plays. The buffer has a bound, and no further
//! sentence is asked for while much of it is full: an interruption would make that useless.

use std::time::Duration;

use futures::stream::BoxStream;
use tokio::sync::{mpsc, watch};

use super::spoken::SentenceId;
use crate::audio::AudioFrame;
use crate::error::CallError;

/// Sound that is read ahead. At 24 kHz it is 1.4 MB.
const SOUND_MAX: Duration = Duration::from_secs(30);

/// Sound ahead with which no further sentence is asked for.
const SOUND_ENOUGH: Duration = Duration::from_secs(10);

/// Frames ahead, however short they are: 30 s of the shortest that services send (10 ms).
const FRAMES_MAX: usize = 3000;

/// The sound of one sentence, or of none.
pub(super) struct Piece {
    pub(super) sentence: Option<SentenceId>,
    pub(super) frames: BoxStream<'static, Result<AudioFrame, CallError>>,
}

/// The way of pieces to where their sound is read. Beside the piece that is read there is one ahead.
pub(super) struct Pieces {
    sender: mpsc::Sender<Piece>,
    sound_ahead: watch::Receiver<Duration>,
}

/// What the player takes.
pub(super) enum Sound {
    Frame(Option<SentenceId>, AudioFrame),
    End(SentenceId),
}

/// Takes the sound that was read.
pub(super) struct Reader {
    sounds: mpsc::Sender<Sound>,
    ahead: watch::Sender<Duration>,
}

/// Gives it to the player.
pub(super) struct Buffer {
    sounds: mpsc::Receiver<Sound>,
    ahead: watch::Sender<Duration>,
}

/// The ways from writing to reading to playing.
pub(super) fn ahead() -> (Pieces, mpsc::Receiver<Piece>, Reader, Buffer) {
    let (sender, pieces) = mpsc::channel(1);
    let (sounds, sounds_out) = mpsc::channel(FRAMES_MAX);
    let ahead = watch::Sender::new(Duration::ZERO);
    let sound_ahead = ahead.subscribe();
    (
        Pieces {
            sender,
            sound_ahead,
        },
        pieces,
        Reader {
            sounds,
            ahead: ahead.clone(),
        },
        Buffer {
            sounds: sounds_out,
            ahead,
        },
    )
}

impl Pieces {
    /// For speech that is recorded: none of its sound waits to be played.
    pub(super) fn unplayed() -> (Self, mpsc::Receiver<Piece>) {
        let (sender, pieces) = mpsc::channel(1);
        let (_, sound_ahead) = watch::channel(Duration::ZERO);
        let unplayed = Self {
            sender,
            sound_ahead,
        };
        (unplayed, pieces)
    }

    /// Waits until one more sentence is worth asking for, so that it will be read as it comes; `false`
    /// when no more is read, as the reading has failed.
    pub(super) async fn has_room(&mut self) -> bool {
        let is_open = self.sender.reserve().await.is_ok();
        let is_short = |ahead: &Duration| *ahead < SOUND_ENOUGH;
        // Without a player nothing waits to be played.
        self.sound_ahead.wait_for(is_short).await.map(drop).ok();
        is_open
    }

    /// Sound that was read and waits to be played.
    pub(super) fn sound_ahead(&self) -> Duration {
        *self.sound_ahead.borrow()
    }

    /// Sends a piece to be read, in its order.
    pub(super) async fn send(&self, piece: Piece) {
        // Not taken when the reading has failed, which is reported there.
        self.sender.send(piece).await.ok();
    }
}

impl Reader {
    /// Adds sound; waits while there is as much as is read ahead.
    pub(super) async fn push(&self, sentence: Option<SentenceId>, frame: AudioFrame) {
        let duration = frame.duration();
        let mut ahead = self.ahead.subscribe();
        let has_room = |ahead: &Duration| *ahead < SOUND_MAX;
        ahead.wait_for(has_room).await.map(drop).ok();
        self.ahead.send_modify(|ahead| *ahead += duration);
        // The player takes until there is nothing left to take.
        self.sounds.send(Sound::Frame(sentence, frame)).await.ok();
    }

    /// All sound of a sentence was added.
    pub(super) async fn end(&self, sentence: SentenceId) {
        self.sounds.send(Sound::End(sentence)).await.ok();
    }
}

impl Buffer {
    /// The next sound.
    ///
    /// Cancel safety: nothing is lost.
    pub(super) async fn next(&mut self) -> Option<Sound> {
        let sound = self.sounds.recv().await?;
        if let Sound::Frame(_, frame) = &sound {
            let duration = frame.duration();
            (self.ahead).send_modify(|ahead| *ahead = ahead.saturating_sub(duration));
        }
        Some(sound)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::stream::{self, StreamExt};

    use super::*;

    fn second() -> AudioFrame {
        AudioFrame {
            samples: vec![0; 8_000],
            sample_rate_hz: 8_000,
        }
    }

    #[tokio::test]
    async fn sound_is_read_ahead_up_to_its_bound() {
        let (_pieces, _pieces_out, reader, mut buffer) = ahead();
        for _ in 0..30 {
            assert!(reader.push(None, second()).now_or_never().is_some());
        }
        assert!(reader.push(None, second()).now_or_never().is_none());
        buffer.next().await.unwrap();
        assert!(reader.push(None, second()).now_or_never().is_some());
    }

    #[tokio::test]
    async fn no_sentence_is_asked_for_while_enough_sound_waits() {
        let (mut pieces, _pieces_out, reader, mut buffer) = ahead();
        for _ in 0..10 {
            assert!(pieces.has_room().now_or_never().is_some());
            reader.push(None, second()).await;
        }
        assert!(pieces.has_room().now_or_never().is_none());
        buffer.next().await.unwrap();
        assert!(pieces.has_room().now_or_never().is_some());
    }

    #[tokio::test]
    async fn beside_the_sentence_that_is_read_one_is_asked_for() {
        let (mut pieces, mut pieces_out, ..) = ahead();
        let piece = || Piece {
            sentence: None,
            frames: stream::empty().boxed(),
        };
        assert!(pieces.has_room().now_or_never().is_some());
        pieces.send(piece()).await;
        assert!(
            pieces.has_room().now_or_never().is_none(),
            "it is not read yet"
        );
        pieces_out.recv().await.unwrap();
        assert!(pieces.has_room().now_or_never().is_some());
    }
}
