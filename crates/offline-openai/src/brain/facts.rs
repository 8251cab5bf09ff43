//! What people tell about themselves: finds it in text, and says it back.

use serde_json::Value;

use super::words::{after, has_any, words};
use super::{Message, Role};

/// One thing that was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fact {
    pub(super) topic: Topic,
    /// In lower case, as a transcript has it: "london", "green tea", "you have a dog".
    pub(super) value: String,
}

/// What a fact is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    Name,
    Home,
    Likes,
    Dislikes,
    Work,
    Age,
    /// A sentence to be remembered as it is, said to the user.
    Other,
}

impl Topic {
    /// The key it is kept under.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Home => "home",
            Self::Likes => "likes",
            Self::Dislikes => "dislikes",
            Self::Work => "work",
            Self::Age => "age",
            Self::Other => "note",
        }
    }

    /// The kind of memory it is.
    pub(super) fn category(self) -> &'static str {
        match self {
            Self::Name | Self::Home | Self::Work | Self::Age => "personal",
            Self::Likes | Self::Dislikes => "preference",
            Self::Other => "note",
        }
    }

    /// The topic of a key that somebody else chose.
    fn of_key(key: &str) -> Option<Self> {
        let key = key.to_lowercase();
        let is = |names: &[&str]| names.iter().any(|name| key == *name);
        match () {
            () if is(&["name", "user_name", "first_name", "username"]) => Some(Self::Name),
            () if is(&["home", "city", "location", "lives_in", "residence"]) => Some(Self::Home),
            () if is(&["likes", "like", "favorite", "preference"]) => Some(Self::Likes),
            () if is(&["dislikes", "dislike"]) => Some(Self::Dislikes),
            () if is(&["work", "job", "occupation", "profession"]) => Some(Self::Work),
            () if is(&["age"]) => Some(Self::Age),
            () => None,
        }
    }

    /// Whether a later fact of this topic takes the place of an earlier one.
    fn is_single(self) -> bool {
        matches!(self, Self::Name | Self::Home | Self::Work | Self::Age)
    }
}

impl Fact {
    fn new(topic: Topic, value: &[String]) -> Self {
        Self {
            topic,
            value: value.join(" "),
        }
    }

    /// The value as it is written: names with a capital letter.
    pub(super) fn written(&self) -> String {
        match self.topic {
            Topic::Name | Topic::Home => capitalised(&self.value),
            _ => self.value.clone(),
        }
    }

    /// The fact, said to the one it is about, without capital or full stop.
    pub(super) fn said_to_user(&self) -> String {
        let value = self.written();
        match self.topic {
            Topic::Name => format!("your name is {value}"),
            Topic::Home => format!("you live in {value}"),
            Topic::Likes => format!("you like {value}"),
            Topic::Dislikes => format!("you do not like {value}"),
            Topic::Work => format!("you work as {value}"),
            Topic::Age => format!("you are {value} years old"),
            Topic::Other => value,
        }
    }
}

/// Each word with a capital letter.
pub(super) fn capitalised(text: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters
            .next()
            .map(|first| first.to_uppercase().chain(letters).collect::<String>())
    };
    text.split(' ')
        .filter_map(capital)
        .collect::<Vec<_>>()
        .join(" ")
}

/// How facts are told, and how many words of what follows belong to them.
const PATTERNS: &[(&str, Topic, usize)] = &[
    ("my name is", Topic::Name, 2),
    ("call me", Topic::Name, 2),
    ("i am called", Topic::Name, 2),
    ("i live in", Topic::Home, 3),
    ("i leave in", Topic::Home, 3),
    ("i lived in", Topic::Home, 3),
    ("i come from", Topic::Home, 3),
    ("i am from", Topic::Home, 3),
    ("i do not like", Topic::Dislikes, 6),
    ("i hate", Topic::Dislikes, 6),
    ("i like", Topic::Likes, 6),
    ("i love", Topic::Likes, 6),
    ("i prefer", Topic::Likes, 6),
    ("i work as", Topic::Work, 6),
];

/// Words that cannot belong to a name or place and so end it.
const ENDS: &[&str] = &[
    "and", "but", "i", "my", "because", "so", "please", "now", "what", "how", "who", "with", "for",
    "the", "is", "in", "thanks", "thank", "today", "or", "ok",
];

/// The facts in what a person says.
pub(super) fn in_speech(text: &str) -> Vec<Fact> {
    text.split(['.', '!', '?', '\n', ';'])
        .flat_map(in_sentence)
        .collect()
}

fn in_sentence(sentence: &str) -> Vec<Fact> {
    let said = words(sentence);
    if asks_to_forget(&said) {
        return Vec::new();
    }
    let mut facts: Vec<Fact> = Vec::new();
    for &(pattern, topic, n_words_max) in PATTERNS {
        let Some(rest) = after(&said, pattern) else {
            continue;
        };
        let is_name = matches!(topic, Topic::Name | Topic::Home);
        let value = leading(rest, n_words_max, is_name);
        if !value.is_empty() && !facts.iter().any(|fact| fact.topic == topic) {
            facts.push(Fact::new(topic, value));
        }
    }
    if let Some(age) = age(&said) {
        facts.push(age);
    }
    // What is to be remembered and is none of the above is kept as it was said.
    match to_remember(&said) {
        Some(rest) if facts.is_empty() && !rest.is_empty() => {
            vec![Fact {
                topic: Topic::Other,
                value: turned_around(rest),
            }]
        }
        _ => facts,
    }
}

/// Whether something is to be forgotten, which is nothing told.
pub(super) fn asks_to_forget(said: &[String]) -> bool {
    let is_negated = has_any(said, &["not forget", "never forget"]);
    !is_negated && has_any(said, &["forget", "delete memory", "erase"])
}

/// What follows "remember that", unless it is a question.
pub(super) fn to_remember(said: &[String]) -> Option<&[String]> {
    let is_question = said
        .iter()
        .any(|word| word == "what" || word == "do" || word == "did");
    let rest = after(said, "remember that").or_else(|| after(said, "do not forget that"));
    rest.filter(|_| !is_question || said.first().is_some_and(|word| word != "what"))
}

/// The first words up to one that ends the value.
fn leading(rest: &[String], n_words_max: usize, is_name: bool) -> &[String] {
    let ends = |word: &String| {
        if is_name {
            ENDS.contains(&word.as_str())
        } else {
            word == "and" || word == "but"
        }
    };
    let n_words = rest
        .iter()
        .position(ends)
        .unwrap_or(rest.len())
        .min(n_words_max);
    &rest[..n_words]
}

fn age(said: &[String]) -> Option<Fact> {
    let rest = after(said, "i am")?;
    let n_words = rest.windows(2).position(|pair| pair == ["years", "old"])?;
    let value = &rest[..n_words];
    (1..=3)
        .contains(&n_words)
        .then(|| Fact::new(Topic::Age, value))
}

/// "my dog is mine" as it is said back: "your dog is yours".
fn turned_around(said: &[String]) -> String {
    let turned = said
        .iter()
        .enumerate()
        .map(|(n, word)| match word.as_str() {
            "i" | "me" => "you",
            "my" => "your",
            "mine" => "yours",
            "am" if n > 0 && said[n - 1] == "i" => "are",
            "was" if n > 0 && said[n - 1] == "i" => "were",
            other => other,
        });
    turned.collect::<Vec<_>>().join(" ")
}

/// Everything that is known at the end of a conversation: from the instructions, the results of tools,
/// and what the user said; of a name or a home the last one counts.
pub(super) fn told(messages: &[Message]) -> Vec<Fact> {
    let mut facts: Vec<Fact> = Vec::new();
    for message in messages {
        let new = match message.role {
            Role::User => in_user_text(&message.text),
            Role::System | Role::Tool => in_notes(&message.text),
            Role::Assistant => Vec::new(),
        };
        for fact in new {
            facts
                .retain(|old| *old != fact && !(fact.topic.is_single() && old.topic == fact.topic));
            facts.push(fact);
        }
    }
    facts
}

/// A user message is speech, or a transcript of both speakers that facts are to be extracted from,
/// perhaps with a list of what is known.
fn in_user_text(text: &str) -> Vec<Fact> {
    let is_agent = |line: &&str| {
        let speaker = line
            .split(':')
            .next()
            .unwrap_or_default()
            .trim()
            .to_lowercase();
        matches!(speaker.as_str(), "assistant" | "agent")
    };
    let in_line = |line| match str::strip_prefix(line, "- ") {
        Some(note) => in_notes(note),
        None => in_speech(line),
    };
    text.lines()
        .filter(|line| !is_agent(line))
        .flat_map(in_line)
        .collect()
}

/// Facts in notes: JSON of any shape, or lines such as `name: John` and "The user's name is John".
pub(super) fn in_notes(text: &str) -> Vec<Fact> {
    if let Ok(json @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(text) {
        let mut facts = Vec::new();
        in_json(&json, &mut facts);
        return facts;
    }
    text.split(['.', '\n', ';']).flat_map(in_note).collect()
}

fn in_note(note: &str) -> Vec<Fact> {
    if let Some((key, value)) = note.split_once([':', '=']) {
        let key = key
            .trim()
            .rsplit([' ', '/', '.'])
            .next()
            .unwrap_or_default();
        let key = key.trim_matches(|c: char| !c.is_alphanumeric() && c != '_');
        if let Some(topic) = Topic::of_key(key) {
            return Some(Fact::new(topic, &words(value)))
                .filter(|fact| !fact.value.is_empty())
                .into_iter()
                .collect();
        }
    }
    // Notes are about the user: "the user's name is", "user lives in", "the user likes".
    const NOTES: &[(&str, Topic, usize)] = &[
        ("user's name is", Topic::Name, 2),
        ("caller's name is", Topic::Name, 2),
        ("user is called", Topic::Name, 2),
        ("your name is", Topic::Name, 0),
        ("lives in", Topic::Home, 3),
        ("user likes", Topic::Likes, 6),
        ("you like", Topic::Likes, 6),
        ("you live in", Topic::Home, 3),
        ("my name is", Topic::Name, 2),
    ];
    let said = words(note);
    let found = NOTES.iter().filter_map(|&(pattern, topic, n_words_max)| {
        let is_name = matches!(topic, Topic::Name | Topic::Home);
        let value = leading(after(&said, pattern)?, n_words_max, is_name);
        (!value.is_empty()).then(|| Fact::new(topic, value))
    });
    found.collect()
}

fn in_json(json: &Value, facts: &mut Vec<Fact>) {
    match json {
        Value::Object(fields) => {
            let field = |names: &[&str]| names.iter().find_map(|name| fields.get(*name)?.as_str());
            // One memory: {"key": "name", "value": "John"}.
            if let (Some(key), Some(value)) = (field(&["key", "topic"]), field(&["value", "text"]))
            {
                match Topic::of_key(key) {
                    Some(topic) => facts.push(Fact::new(topic, &words(value))),
                    None => facts.push(Fact {
                        topic: Topic::Other,
                        value: value.to_lowercase(),
                    }),
                }
                return;
            }
            for (key, value) in fields {
                match (Topic::of_key(key), value.as_str()) {
                    (Some(topic), Some(value)) => facts.push(Fact::new(topic, &words(value))),
                    _ => in_json(value, facts),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| in_json(item, facts)),
        Value::String(text) => facts.extend(text.split(['.', '\n', ';']).flat_map(in_note)),
        _ => {}
    }
}
