//! `voxpool console`: a conversation by text in the terminal, without a LiveKit server and a voice.
//!
//! The session is the one of a call; its room is the terminal ([`room`]). Lines go in one at a time:
//! the next is read when the answer to the one before is complete, so a conversation can be piped.

mod room;
mod terminal;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{BoxStream, StreamExt};
use futures::{FutureExt, stream};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use self::room::{Shown, TerminalRoom};
use self::terminal::Terminal;
use crate::agent::AgentJobs;
use crate::participant::Participant;
use crate::redact::Pii;
use crate::room::{AgentState, RoomEvent, UserChange};
use crate::session::SessionEnd;
use crate::worker::Stop;

/// Exit code after Ctrl-C, as shells have it (128 + SIGINT).
const EXIT_INTERRUPTED: u8 = 130;

/// Lines that were typed ahead and wait; the reader waits when it is full.
const LINES_MAX: usize = 16;

/// How often a person sees for how long the agent has been at work.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// Events that may wait for the session.
const EVENTS_MAX: usize = 4;

/// Holds a conversation with who types, until the end of the input or Ctrl-C.
///
/// # Errors
/// When the terminal cannot be written to.
pub async fn run(
    jobs: &AgentJobs,
    identity: &str,
    mut stops: BoxStream<'static, Stop>,
) -> std::io::Result<ExitCode> {
    let (events, room_events) = mpsc::channel(EVENTS_MAX);
    let (room, mut shown) = TerminalRoom::new();
    let shutdown = CancellationToken::new();
    let session = jobs.talk_in_text(from_channel(room_events), Arc::new(room), shutdown.clone());
    let mut conversation = Conversation {
        terminal: Terminal::of_process(),
        events,
        is_answering: jobs.agent_greets(),
        has_begun: false,
        asked: Instant::now(),
        first_words: None,
        n_errors: 0,
    };
    let user = UserChange::Joined(Participant::new(identity));
    conversation.tell(RoomEvent::User(user)).await;
    let mut lines = lines();
    let mut session = std::pin::pin!(session.fuse());
    let mut progress = tokio::time::interval(PROGRESS_EVERY);
    // Else it would make up for the time in which nobody waited.
    progress.set_missed_tick_behavior(MissedTickBehavior::Skip);
    conversation.prompt_if_idle()?;
    let end = loop {
        tokio::select! {
            biased;
            Some(shown) = shown.recv() => conversation.show(shown)?,
            end = &mut session => break end,
            // The first ends the conversation, whose last words are still saved; the next does not wait.
            Some(_) = stops.next() => match shutdown.is_cancelled() {
                false => shutdown.cancel(),
                true => break SessionEnd::Shutdown,
            },
            _ = progress.tick(), if conversation.is_at_work() => conversation.show_progress()?,
            line = lines.recv(), if !conversation.is_answering => conversation.on_line(line).await?,
        }
    };
    while let Ok(rest) = shown.try_recv() {
        conversation.show(rest)?;
    }
    conversation.terminal.finish()?;
    let is_piped = !conversation.terminal.is_interactive();
    Ok(match end {
        SessionEnd::Shutdown => ExitCode::from(EXIT_INTERRUPTED),
        SessionEnd::Failed(_) => ExitCode::FAILURE,
        _ if is_piped && conversation.n_errors > 0 => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    })
}

fn from_channel<T: Send + 'static>(receiver: mpsc::Receiver<T>) -> BoxStream<'static, T> {
    stream::unfold(receiver, |mut receiver| async move {
        let item = receiver.recv().await?;
        Some((item, receiver))
    })
    .boxed()
}

/// The lines of standard input. Read by a thread of their own: a read cannot be interrupted, and the
/// end of the program must not wait for a line that nobody types.
fn lines() -> mpsc::Receiver<String> {
    let (lines, lines_out) = mpsc::channel(LINES_MAX);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines_out
}

struct Conversation {
    terminal: Terminal,
    events: mpsc::Sender<RoomEvent>,
    /// Whether the agent is to say something before the user.
    is_answering: bool,
    /// Whether it has begun to.
    has_begun: bool,
    asked: Instant,
    first_words: Option<Duration>,
    n_errors: u32,
}

impl Conversation {
    async fn tell(&self, event: RoomEvent) {
        // A session that is over is noticed by the loop.
        self.events.send(event).await.ok();
    }

    fn prompt_if_idle(&mut self) -> std::io::Result<()> {
        match self.is_answering {
            true => Ok(()),
            false => self.terminal.prompt(),
        }
    }

    async fn on_line(&mut self, line: Option<String>) -> std::io::Result<()> {
        let Some(line) = line else {
            // The end of the input: nothing more is read.
            self.is_answering = true;
            self.tell(RoomEvent::User(UserChange::Left)).await;
            return Ok(());
        };
        if line.trim().is_empty() {
            return self.terminal.prompt();
        }
        self.is_answering = true;
        self.has_begun = false;
        self.asked = Instant::now();
        self.first_words = None;
        self.tell(RoomEvent::Text(Pii::new(line))).await;
        Ok(())
    }

    /// Whether the agent is to be heard of and has not said anything yet.
    fn is_at_work(&self) -> bool {
        self.has_begun && self.is_answering && self.first_words.is_none()
    }

    fn show_progress(&mut self) -> std::io::Result<()> {
        self.terminal.waiting(self.asked.elapsed())
    }

    fn show(&mut self, shown: Shown) -> std::io::Result<()> {
        match shown {
            Shown::State(AgentState::Listening) if self.is_answering && self.has_begun => {
                self.is_answering = false;
                if let Some(first_words) = self.first_words.take() {
                    let all = self.asked.elapsed();
                    self.terminal.latency(first_words, all)?;
                }
                self.terminal.prompt()
            }
            Shown::State(AgentState::Thinking) => {
                self.has_begun = true;
                match self.first_words {
                    None => self.show_progress(),
                    Some(_) => Ok(()),
                }
            }
            Shown::State(AgentState::Speaking) => {
                self.has_begun = true;
                Ok(())
            }
            Shown::State(_) => Ok(()),
            Shown::Words(words) => {
                self.first_words.get_or_insert(self.asked.elapsed());
                self.terminal.words(&words)
            }
            Shown::EndOfWords => self.terminal.end_of_words(),
            Shown::Tool(call, output) => self.terminal.tool(&call, &output),
            Shown::Error(error) => {
                self.n_errors += 1;
                let hint = "`voxpool check --dev` tries every service";
                self.terminal.error(&format!("{error}; {hint}"))
            }
        }
    }
}
