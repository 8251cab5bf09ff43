//! Decides what to say to the last thing the user said: the first rule that fits answers.

use super::facts::{self, Fact, Topic};
use super::tools::{self, Skill};
use super::words::{after, has, has_any, words};
use super::{Conversation, Reply, Role, phrases};

/// Speaks first: greets, by name if it is known.
pub(super) fn open(conversation: &Conversation) -> Reply {
    // An instruction after the talk has begun asks for something to be said, mostly a farewell.
    let instruction = conversation
        .messages
        .last()
        .map(|message| words(&message.text));
    if let Some(text) = exactly(conversation) {
        return say(text);
    }
    let has_begun = conversation
        .messages
        .iter()
        .any(|message| message.role == Role::Assistant);
    if has_begun && instruction.is_some_and(|said| has(&said, "good bye")) {
        return say(phrases::GOODBYE);
    }
    let facts = facts::told(&conversation.messages);
    match value_of(&facts, Topic::Name) {
        Some(name) => say(format!("Hello again, {name}. How can I help you today?")),
        None => say(phrases::GREETING),
    }
}

/// The very words that the instructions ask for, if they do.
fn exactly(conversation: &Conversation) -> Option<&str> {
    let mut texts = conversation.messages.iter().rev();
    let asked = texts.find_map(|message| {
        message
            .text
            .split_once("Say exactly this and nothing else:")
    });
    asked.map(|(_, text)| text.trim())
}

/// Looks at the words and the conversation, and answers if what was said is its business.
type Rule = fn(&[String], &Conversation) -> Option<Reply>;

/// Answers what the user said.
pub(super) fn respond(text: &str, conversation: &Conversation) -> Reply {
    let said = words(text);
    if said.is_empty() {
        return say(phrases::NOT_HEARD);
    }
    let rules: &[Rule] = &[
        repeat,
        connections,
        forget,
        question,
        statement,
        memory_question,
    ];
    if let Some(reply) = rules.iter().find_map(|rule| rule(&said, conversation)) {
        return reply;
    }
    let small_talk = SMALL_TALK
        .iter()
        .find(|(phrases, _)| has_any(&said, phrases));
    say(small_talk.map_or(phrases::FALLBACK, |(_, answer)| answer))
}

/// What people say to be polite, and the answers; misheard forms stand beside the right ones.
const SMALL_TALK: &[(&[&str], &str)] = &[
    (
        &["good bye", "bye", "see you", "good by", "good night"],
        phrases::GOODBYE,
    ),
    (&["thank you", "thanks", "thank"], phrases::WELCOME),
    (
        &[
            "how are you",
            "how do you do",
            "how is it going",
            "how you doing",
        ],
        phrases::WELL,
    ),
    (
        &[
            "who are you",
            "what are you",
            "are you real",
            "are you human",
            "your name",
        ],
        phrases::WHO,
    ),
    (
        &[
            "what can you do",
            "can you help",
            "help me",
            "what do you do",
        ],
        phrases::ABILITIES,
    ),
    (
        &["what time", "what day", "the time", "what date"],
        phrases::NO_CLOCK,
    ),
    (
        &["weather", "whether today", "sunny", "rain"],
        phrases::NO_WEATHER,
    ),
    (
        &["story", "stories", "tell me something", "joke"],
        phrases::STORY,
    ),
    (
        &["stop", "quiet", "wait", "hold on", "never mind"],
        phrases::STOP,
    ),
    (
        &[
            "hello",
            "hi",
            "hey",
            "good morning",
            "good evening",
            "good afternoon",
            "low there",
            "hell there",
            "hello their",
            "yellow there",
            "below there",
        ],
        phrases::GREETING_BACK,
    ),
    (
        &["yes", "yeah", "ok", "all right", "sure", "no", "please"],
        phrases::AGREED,
    ),
    (
        &["i think", "i am", "i was", "i have", "my"],
        phrases::INTERESTING,
    ),
];

/// "repeat after me one two three"
fn repeat(said: &[String], _: &Conversation) -> Option<Reply> {
    let rest = after(said, "repeat after me").or_else(|| after(said, "say after me"))?;
    (!rest.is_empty()).then(|| say(sentence(&rest.join(" "))))
}

/// The two tools of the pool.
fn connections(said: &[String], conversation: &Conversation) -> Option<Reply> {
    let about = has_any(said, &["connections", "connection", "pool", "connected"]);
    let clean = [
        "clean", "cleanup", "clear", "tidy", "cleaned", "cleaning", "queen",
    ];
    let skill = if has_any(said, &clean) && (about || has(said, "up")) {
        Skill::Cleanup
    } else if has_any(
        said,
        &[
            "statistics",
            "statistic",
            "stats",
            "statistical",
            "districts",
        ],
    ) || about
        && has_any(
            said,
            &["show", "how many", "tell", "status", "state", "report"],
        )
    {
        Skill::Statistics
    } else {
        return None;
    };
    let call = tools::find(conversation, skill).map(|tool| tools::call(tool, &[]));
    Some(call.unwrap_or_else(|| say(phrases::NO_TOOL)))
}

fn forget(said: &[String], conversation: &Conversation) -> Option<Reply> {
    if !facts::asks_to_forget(said) {
        return None;
    }
    let rest = after(said, "forget that")
        .or_else(|| after(said, "forget"))
        .unwrap_or_default()
        .join(" ");
    // "forget that i like tea", "forget my name": the fact, or its topic, or just the words.
    let about = || {
        let topic = topic_of(&words(&rest))?;
        Some(Fact {
            topic,
            value: rest.clone(),
        })
    };
    let told = facts::in_speech(&rest).into_iter().next();
    let what = told.or_else(about).unwrap_or(Fact {
        topic: Topic::Other,
        value: rest.clone(),
    });
    let call = tools::find(conversation, Skill::Forget).map(|tool| tools::call(tool, &[what]));
    Some(call.unwrap_or_else(|| say(phrases::FORGOTTEN)))
}

/// "what is my name", "where do i live", "what do i like"
fn question(said: &[String], conversation: &Conversation) -> Option<Reply> {
    let asks = has_any(
        said,
        &[
            "what",
            "who",
            "where",
            "tell me",
            "do you know",
            "do you remember",
        ],
    );
    let states = !facts::in_speech(&said.join(" ")).is_empty();
    if !asks || states {
        return None;
    }
    let topic = topic_of(said)?;
    let facts = facts::told(&conversation.messages);
    if let Some(fact) = facts.iter().rfind(|fact| fact.topic == topic) {
        return Some(say(sentence(&fact.said_to_user())));
    }
    Some(
        recall(conversation, topic.key()).unwrap_or_else(|| match topic {
            Topic::Name => say(phrases::NAME_UNKNOWN),
            _ => say(phrases::NOTHING_KNOWN),
        }),
    )
}

/// What is asked about, or to be forgotten.
fn topic_of(said: &[String]) -> Option<Topic> {
    match () {
        () if has_any(said, &["my name", "am i", "mine name"]) => Some(Topic::Name),
        () if has_any(said, &["i live", "my home", "am i from", "my city"]) => Some(Topic::Home),
        () if has_any(said, &["i like", "i love", "my favorite"]) => Some(Topic::Likes),
        () if has_any(said, &["old am i", "my age"]) => Some(Topic::Age),
        () => None,
    }
}

/// "what do you remember about me"
fn memory_question(said: &[String], conversation: &Conversation) -> Option<Reply> {
    let asks = has_any(
        said,
        &[
            "do you remember",
            "you know about",
            "you remember about",
            "remember me",
        ],
    );
    if !asks {
        return None;
    }
    let facts = facts::told(&conversation.messages);
    if facts.is_empty() {
        return Some(recall(conversation, "user").unwrap_or_else(|| say(phrases::NOTHING_KNOWN)));
    }
    Some(say(tools::speak_facts(&facts)))
}

/// Looks into the memory tool, unless it was asked since the user last spoke.
fn recall(conversation: &Conversation, query: &str) -> Option<Reply> {
    let what = Fact {
        topic: Topic::Other,
        value: query.to_owned(),
    };
    tools::find(conversation, Skill::Recall).map(|tool| tools::call(tool, &[what]))
}

/// "my name is john and i live in london", "remember that i like green tea"
fn statement(said: &[String], conversation: &Conversation) -> Option<Reply> {
    let facts = facts::in_speech(&said.join(" "));
    if facts.is_empty() {
        return None;
    }
    let is_asked = facts::to_remember(said).is_some();
    if is_asked && let Some(tool) = tools::find(conversation, Skill::Remember) {
        return Some(tools::call(tool, &facts));
    }
    Some(say(acknowledge(&facts)))
}

/// Says that facts were understood.
pub(super) fn acknowledge(facts: &[Fact]) -> String {
    let (name, home) = (value_of(facts, Topic::Name), value_of(facts, Topic::Home));
    match (name, home, facts.last()) {
        (Some(name), Some(home), _) => {
            format!("Nice to meet you, {name}. I like {home}.")
        }
        (Some(name), None, _) => format!("Nice to meet you, {name}."),
        (None, _, Some(fact)) => format!("Okay. I remember that {}.", fact.said_to_user()),
        (None, _, None) => phrases::REMEMBERED.to_owned(),
    }
}

fn value_of(facts: &[Fact], topic: Topic) -> Option<String> {
    facts
        .iter()
        .rfind(|fact| fact.topic == topic)
        .map(Fact::written)
}

/// A text as a sentence: a capital letter before, a full stop behind, "I" large.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .collect();
    format!("{first}{}.", letters.as_str()).replace(" i ", " I ")
}

pub(super) fn say(text: impl Into<String>) -> Reply {
    Reply::Say(text.into())
}
