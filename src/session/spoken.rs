//! What a reply said and how much of it was heard. Plain code: positions are handed in.

use std::time::Duration;

use crate::chat::{ChatItem, ToolCall, ToolOutput};
use crate::text::heard_prefix;

/// Speech of one character, while the sound of a sentence has not all arrived: about 15 characters
/// a second, as OpenAI's voices speak.
const CHAR_DURATION: Duration = Duration::from_millis(65);

/// Told to the model about a tool that was cut off.
const INTERRUPTED: &str = "interrupted by the user before it finished; it may or may not have run";

struct Sentence {
    text: String,
    /// Where its sound begins, in the output's position.
    begins_at: Option<Duration>,
    /// Sound that was queued.
    queued: Duration,
    /// Sound that has arrived: services speak faster than they are played.
    arrived: Duration,
    /// Whether all of its sound has arrived.
    is_complete: bool,
}

impl Sentence {
    fn n_chars(&self) -> u32 {
        u32::try_from(self.text.chars().count()).unwrap_or(u32::MAX)
    }

    /// The words heard at `position`, of a voice that takes `pace` for a character.
    fn heard(&self, position: Duration, pace: Duration) -> &str {
        let Some(begins_at) = self.begins_at else {
            return "";
        };
        if self.is_complete && self.arrived.is_zero() {
            // Not for the voice: there when its turn has come.
            return &self.text;
        }
        let played = position.saturating_sub(begins_at).min(self.queued);
        let total = if self.is_complete {
            self.arrived
        } else {
            self.arrived.max(pace * self.n_chars())
        };
        heard_prefix(&self.text, played.as_secs_f64(), total.as_secs_f64())
    }
}

enum Entry {
    Sentence(Sentence),
    /// One round: what the model asked for at once, with the answers so far.
    Tools(Vec<(ToolCall, Option<ToolOutput>)>),
}

/// The sentences and tool calls of one reply, in order.
#[derive(Default)]
pub(super) struct SpokenLog {
    entries: Vec<Entry>,
}

/// Names a sentence of its log.
#[derive(Clone, Copy)]
pub(super) struct SentenceId(usize);

impl SpokenLog {
    pub(super) fn add_sentence(&mut self, text: &str) -> SentenceId {
        self.entries.push(Entry::Sentence(Sentence {
            text: text.to_owned(),
            begins_at: None,
            queued: Duration::ZERO,
            arrived: Duration::ZERO,
            is_complete: false,
        }));
        SentenceId(self.entries.len() - 1)
    }

    /// The text of a sentence.
    pub(super) fn text(&self, id: SentenceId) -> String {
        match self.entries.get(id.0) {
            Some(Entry::Sentence(sentence)) => sentence.text.clone(),
            Some(Entry::Tools(_)) | None => String::new(),
        }
    }

    /// `duration` more of the sentence's sound is queued, the first of it to be heard at `at`.
    pub(super) fn queue(&mut self, id: SentenceId, at: Duration, duration: Duration) {
        if let Some(sentence) = self.sentence(id) {
            sentence.begins_at.get_or_insert(at);
            sentence.queued += duration;
        }
    }

    /// `duration` more of the sentence's sound has arrived.
    pub(super) fn arrive(&mut self, id: SentenceId, duration: Duration) {
        if let Some(sentence) = self.sentence(id) {
            sentence.arrived += duration;
        }
    }

    /// The sentence's sound ends at `at`, or would be there if it had any.
    pub(super) fn pass(&mut self, id: SentenceId, at: Duration) {
        if let Some(sentence) = self.sentence(id) {
            sentence.begins_at.get_or_insert(at);
        }
    }

    /// All of the sentence's sound has arrived.
    pub(super) fn complete(&mut self, id: SentenceId) {
        if let Some(sentence) = self.sentence(id) {
            sentence.is_complete = true;
        }
    }

    pub(super) fn add_tools(&mut self, calls: &[ToolCall]) {
        let round = calls.iter().map(|call| (call.clone(), None)).collect();
        self.entries.push(Entry::Tools(round));
    }

    /// Keeps the answer to the call with this place in the latest round.
    pub(super) fn answer_tool(&mut self, place: usize, answer: ToolOutput) {
        if let Some(Entry::Tools(round)) = self.entries.last_mut()
            && let Some((_, output)) = round.get_mut(place)
        {
            *output = Some(answer);
        }
    }

    fn sentence(&mut self, id: SentenceId) -> Option<&mut Sentence> {
        match self.entries.get_mut(id.0) {
            Some(Entry::Sentence(sentence)) => Some(sentence),
            Some(Entry::Tools(_)) | None => None,
        }
    }

    /// Everything the agent meant to say.
    pub(super) fn full_text(&self) -> String {
        let texts: Vec<&str> = self.sentences().map(|s| s.text.as_str()).collect();
        texts.join(" ")
    }

    /// What was heard when the output stood at `position`: a prefix of [`Self::full_text`].
    pub(super) fn heard_text(&self, position: Duration) -> String {
        let texts = self.sentences().map(self.hearing(position));
        let texts: Vec<&str> = texts.take_while(|heard| !heard.is_empty()).collect();
        texts.join(" ")
    }

    /// The words heard of one sentence after the other: none behind one that was not heard to its end,
    /// also of a sentence that has no sound of its own.
    fn hearing<'a>(&self, position: Duration) -> impl FnMut(&'a Sentence) -> &'a str + use<'a> {
        let pace = self.pace();
        let mut is_over = false;
        move |sentence| {
            if is_over {
                return "";
            }
            let heard = sentence.heard(position, pace);
            is_over = heard.trim_end().len() < sentence.text.trim_end().len();
            heard
        }
    }

    /// How long this voice takes for a character, from the sentences whose length is known.
    fn pace(&self) -> Duration {
        let known = self
            .sentences()
            .filter(|s| s.is_complete && !s.arrived.is_zero());
        let (sound, n_chars) = known.fold((Duration::ZERO, 0), |(sound, n_chars), sentence| {
            (sound + sentence.arrived, n_chars + sentence.n_chars())
        });
        sound.checked_div(n_chars).unwrap_or(CHAR_DURATION)
    }

    pub(super) fn tool_calls(&self) -> Vec<ToolCall> {
        let rounds = self.entries.iter().filter_map(|entry| match entry {
            Entry::Tools(round) => Some(round),
            Entry::Sentence(_) => None,
        });
        rounds.flatten().map(|(call, _)| call.clone()).collect()
    }

    /// What the chat context keeps of a reply that was heard to its end.
    pub(super) fn finished_items(&self) -> Vec<ChatItem> {
        self.items(|sentence| &sentence.text, false)
    }

    /// What the chat context keeps of a reply that ended at `position`.
    pub(super) fn interrupted_items(&self, position: Duration) -> Vec<ChatItem> {
        self.items(self.hearing(position), true)
    }

    fn items<'a>(
        &'a self,
        mut heard: impl FnMut(&'a Sentence) -> &'a str,
        is_interrupted: bool,
    ) -> Vec<ChatItem> {
        let mut items = Vec::new();
        let mut texts: Vec<&str> = Vec::new();
        for entry in &self.entries {
            match entry {
                Entry::Sentence(sentence) => {
                    texts.extend(Some(heard(sentence)).filter(|text| !text.is_empty()));
                }
                Entry::Tools(round) => {
                    push_agent(&mut items, &mut texts, false);
                    push_round(&mut items, round);
                }
            }
        }
        push_agent(&mut items, &mut texts, is_interrupted);
        items
    }

    fn sentences(&self) -> impl Iterator<Item = &Sentence> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Sentence(sentence) => Some(sentence),
            Entry::Tools(_) => None,
        })
    }
}

fn push_agent(items: &mut Vec<ChatItem>, texts: &mut Vec<&str>, is_interrupted: bool) {
    if !texts.is_empty() {
        items.push(ChatItem::Agent {
            text: texts.join(" "),
            is_interrupted,
        });
        texts.clear();
    }
}

/// No call is ever left without an output: services refuse such a conversation.
fn push_round(items: &mut Vec<ChatItem>, round: &[(ToolCall, Option<ToolOutput>)]) {
    let calls = round
        .iter()
        .map(|(call, _)| ChatItem::ToolCall(call.clone()));
    items.extend(calls);
    items.extend(round.iter().map(|(call, output)| ChatItem::ToolOutput {
        call_id: call.id.clone(),
        output: output.clone().unwrap_or_else(|| ToolOutput {
            text: INTERRUPTED.to_owned(),
            is_error: true,
        }),
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn call(id: &str) -> ToolCall {
        ToolCall {
            id: id.to_owned(),
            name: "look".to_owned(),
            arguments: "{}".to_owned(),
            ..ToolCall::default()
        }
    }

    fn shape(items: &[ChatItem]) -> Vec<String> {
        let describe = |item: &ChatItem| match item {
            ChatItem::User(text) => format!("user {text}"),
            ChatItem::Agent {
                text,
                is_interrupted,
            } => format!("agent {text}{}", if *is_interrupted { "…" } else { "" }),
            ChatItem::ToolCall(call) => format!("call {}", call.id),
            ChatItem::ToolOutput { call_id, output } => format!("output {call_id} {}", output.text),
        };
        items.iter().map(describe).collect()
    }

    /// Two sentences of 1 s each, heard from 5 s on; the second one has not been queued.
    fn log() -> SpokenLog {
        let mut log = SpokenLog::default();
        let first = log.add_sentence("one two three four");
        log.add_sentence("five six");
        log.queue(first, ms(5000), ms(600));
        log.queue(first, ms(5600), ms(400));
        log.arrive(first, ms(1000));
        log.complete(first);
        log
    }

    #[test]
    fn only_words_whose_sound_was_played_count_as_heard() {
        let log = log();
        assert_eq!(log.heard_text(ms(4000)), "");
        assert_eq!(log.heard_text(ms(5500)), "one two");
        assert_eq!(log.heard_text(ms(6000)), "one two three four");
        assert_eq!(log.heard_text(ms(9000)), "one two three four");
        assert_eq!(log.full_text(), "one two three four five six");
    }

    #[test]
    fn a_sentence_still_arriving_is_not_taken_for_heard() {
        let mut log = SpokenLog::default();
        let id = log.add_sentence("a sentence of twenty-nine letters");
        log.queue(id, ms(0), ms(200));
        log.arrive(id, ms(200));
        assert_eq!(log.heard_text(ms(200)), "a");
    }

    #[test]
    fn words_follow_the_voice_whatever_its_pace() {
        for millis in [500, 1000, 4000] {
            let mut log = SpokenLog::default();
            let id = log.add_sentence("one two six ten");
            log.queue(id, ms(0), ms(millis));
            log.arrive(id, ms(millis));
            log.complete(id);
            assert_eq!(log.heard_text(ms(millis / 2)), "one two", "{millis} ms");
            // The next sentence's sound is still arriving: it is taken to be spoken as the first.
            let next = log.add_sentence("one two six ten");
            log.queue(next, ms(millis), ms(millis / 4));
            log.arrive(next, ms(millis / 4));
            let heard = log.heard_text(ms(millis + millis / 4));
            assert_eq!(heard, "one two six ten one", "{millis} ms");
        }
    }

    #[test]
    fn what_is_not_for_the_voice_is_shown_when_its_turn_has_come() {
        let mut log = log();
        let code = log.add_sentence("```let x```");
        log.complete(code);
        assert!(!log.heard_text(ms(6500)).contains("let"));
        let five = SentenceId(1);
        log.queue(five, ms(6000), ms(400));
        log.arrive(five, ms(400));
        log.complete(five);
        log.pass(code, ms(6400));
        assert!(log.heard_text(ms(6400)).ends_with("five six ```let x```"));
    }

    #[test]
    fn what_is_not_for_the_voice_waits_for_the_words_before_it() {
        let mut log = log();
        let smile = log.add_sentence("🙂");
        log.complete(smile);
        let five = SentenceId(1);
        log.queue(five, ms(6000), ms(400));
        log.arrive(five, ms(400));
        log.complete(five);
        // Queued is not heard.
        log.pass(smile, ms(6400));
        log.add_tools(&[call("a")]);
        assert_eq!(log.heard_text(ms(6200)), "one two three four five");
        assert_eq!(
            shape(&log.interrupted_items(ms(6200)))[0],
            "agent one two three four five"
        );
        assert!(log.heard_text(ms(6400)).ends_with("five six 🙂"));
    }

    #[test]
    fn an_interrupted_reply_keeps_what_was_heard() {
        let items = log().interrupted_items(ms(5500));
        assert_eq!(shape(&items), ["agent one two…"]);
        assert!(log().interrupted_items(ms(5000)).is_empty());
    }

    #[test]
    fn unfinished_tool_calls_get_an_output() {
        let mut log = log();
        log.add_tools(&[call("a"), call("b")]);
        log.answer_tool(
            1,
            ToolOutput {
                text: "seen".to_owned(),
                is_error: false,
            },
        );
        let items = shape(&log.interrupted_items(ms(6000)));
        assert_eq!(items[0], "agent one two three four");
        assert_eq!(items[1..3], ["call a", "call b"]);
        assert!(items[3].starts_with("output a interrupted"));
        assert_eq!(items[4], "output b seen");
        assert_eq!(items.len(), 5);
    }

    #[test]
    fn rounds_of_tools_stay_in_order() {
        let mut log = SpokenLog::default();
        let ok = ToolOutput {
            text: "ok".to_owned(),
            is_error: false,
        };
        log.add_tools(&[call("a")]);
        log.answer_tool(0, ok.clone());
        log.add_tools(&[call("b")]);
        log.answer_tool(0, ok);
        log.add_sentence("done");
        assert_eq!(
            shape(&log.finished_items()),
            [
                "call a",
                "output a ok",
                "call b",
                "output b ok",
                "agent done"
            ]
        );
    }
}
