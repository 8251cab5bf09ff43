//! Everything that is said, in one place.
//!
//! Each sentence was spoken by flite and read back by pocketsphinx; of several wordings the one that
//! came back best was kept. `tests/it/speech_round_trip.rs` holds them to it. Change them with that
//! test at hand.

pub(super) const GREETING: &str = "Hello. How can I help you?";
pub(super) const GREETING_BACK: &str = "Hello there. How can I help you today?";
pub(super) const GOODBYE: &str = "Thank you for calling. Goodbye.";
pub(super) const WELCOME: &str = "You are welcome. Is there anything else?";
pub(super) const WELL: &str = "I am very well, thank you.";
pub(super) const WHO: &str = "I am a small test program, not a real assistant.";
pub(super) const ABILITIES: &str =
    "I can tell you about the connections, and I can remember things for you.";
pub(super) const NO_CLOCK: &str = "I do not have a clock here. Please ask me something else.";
pub(super) const NO_WEATHER: &str = "The weather is nice today.";
pub(super) const STORY: &str = "Here is a story. There was a little girl who lived in a big house. \
     Every morning she went to school with her brother. One day they found a small dog on the street. \
     They took the dog home and gave it something to eat. And that is the end of the story.";
pub(super) const STOP: &str = "Okay.";
pub(super) const AGREED: &str = "Okay. What can I do for you?";
pub(super) const INTERESTING: &str = "That is interesting. Please tell me more.";
pub(super) const FALLBACK: &str = "I am not sure about that. Please ask me something else.";
pub(super) const NOT_HEARD: &str = "Sorry, I did not hear you. Please say that again.";

pub(super) const REMEMBERED: &str = "Okay. I will remember that.";
pub(super) const FORGOTTEN: &str = "Okay. I have forgotten that.";
pub(super) const NAME_UNKNOWN: &str = "I do not know your name yet. Please tell me.";
pub(super) const NOTHING_KNOWN: &str = "I do not know that yet. Please tell me.";

pub(super) const ALL_WELL: &str = "Everything is working well.";
pub(super) const CLEAN: &str = "Okay. Your connections are clean now.";
pub(super) const DONE: &str = "Okay. That is done.";
pub(super) const FAILED: &str = "I am sorry. That did not work.";
pub(super) const NO_TOOL: &str = "I am sorry. I can not do that here.";
