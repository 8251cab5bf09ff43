//! The turns of a call that wait to be looked at. Plain code.

use std::collections::VecDeque;

use crate::memory::UserId;
use crate::memory::extraction::Said;

/// Exchanges that are looked at together when several wait.
const EXCHANGES_MAX: usize = 8;

/// A turn that waits.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) user: UserId,
    pub(super) said: Said,
    /// How often something had been forgotten before.
    pub(super) n_forgets: u64,
}

/// What to look at next: exchanges of one user.
#[derive(Clone)]
pub(super) struct Work {
    pub(super) user: UserId,
    pub(super) exchanges: Vec<Said>,
    pub(super) n_forgets: u64,
    pub(super) is_profile_due: bool,
}

/// Turns in order, and how many there were since the last summary.
pub(super) struct Backlog {
    waiting: VecDeque<Waiting>,
    n_max: usize,
    profile_every: u32,
    unsummarised: Option<(Waiting, u32)>,
    /// Whether the call goes on.
    is_open: bool,
    /// Whether there was a turn, or the end of the call, since something was last taken.
    has_news: bool,
    /// The model failed: what waits is not taken before there is news.
    is_resting: bool,
}

impl Backlog {
    pub(super) fn new(n_max: usize, profile_every: u32) -> Self {
        Self {
            waiting: VecDeque::new(),
            n_max: n_max.max(1),
            profile_every,
            unsummarised: None,
            is_open: true,
            has_news: false,
            is_resting: false,
        }
    }

    /// Adds a turn; returns whether the oldest had to go for it.
    pub(super) fn push(&mut self, turn: Waiting) -> bool {
        let is_full = self.waiting.len() >= self.n_max;
        if is_full {
            self.waiting.pop_front();
        }
        self.waiting.push_back(turn);
        self.has_news = true;
        is_full
    }

    /// Puts turns back, before all others, that the model failed to look at. They are taken once more
    /// with the next turn, and at the end of the call. Returns how many had to go, the oldest.
    pub(super) fn put_back(&mut self, turns: Vec<Waiting>) -> usize {
        let n_room = self.n_max.saturating_sub(self.waiting.len());
        let n_gone = turns.len().saturating_sub(n_room);
        if let Some((_, n_turns)) = &mut self.unsummarised {
            // They will be counted again.
            let n_back = u32::try_from(turns.len()).unwrap_or(u32::MAX);
            *n_turns = n_turns.saturating_sub(n_back);
        }
        for turn in turns.into_iter().skip(n_gone).rev() {
            self.waiting.push_front(turn);
        }
        self.is_resting = true;
        n_gone
    }

    /// Drops all that waits of such users.
    pub(super) fn drop_of(&mut self, is_one: impl Fn(&UserId) -> bool) {
        self.waiting.retain(|turn| !is_one(&turn.user));
        self.unsummarised.take_if(|(last, _)| is_one(&last.user));
    }

    /// The call is over.
    pub(super) fn close(&mut self) {
        self.is_open = false;
        self.has_news = true;
    }

    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Whether what was last taken will not be taken again: the call was over then.
    pub(super) fn is_last_try(&self) -> bool {
        !self.is_open && !self.has_news
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Takes what is to be done next.
    pub(super) fn next(&mut self) -> Option<Work> {
        if self.is_resting && !self.has_news {
            return None;
        }
        (self.is_resting, self.has_news) = (false, false);
        let user = self.waiting.front().map(|turn| turn.user.clone());
        // The summary of one who is gone, or of a call that is over.
        let is_gone = |(last, _): &mut (Waiting, u32)| match &user {
            Some(user) => last.user != *user,
            None => !self.is_open,
        };
        if let Some((last, _)) = self.unsummarised.take_if(is_gone) {
            return Some(Work {
                user: last.user,
                exchanges: Vec::new(),
                n_forgets: last.n_forgets,
                is_profile_due: true,
            });
        }
        let user = user?;
        let n_forgets = self.waiting.front()?.n_forgets;
        // What was said before something was forgotten must not take with it what was said after.
        let is_of_these = |turn: &mut Waiting| turn.user == user && turn.n_forgets == n_forgets;
        let mut turns = Vec::new();
        while turns.len() < EXCHANGES_MAX
            && let Some(turn) = self.waiting.pop_front_if(is_of_these)
        {
            turns.push(turn);
        }
        let last = turns.last()?.clone();
        let before = self.unsummarised.take().map_or(0, |(_, n)| n);
        let n_turns = before + u32::try_from(turns.len()).unwrap_or(u32::MAX);
        let is_last = !self.is_open && self.waiting.is_empty();
        let is_due = self.profile_every > 0 && n_turns >= self.profile_every;
        let is_profile_due = is_last || is_due;
        if !is_profile_due {
            self.unsummarised = Some((last, n_turns));
        }
        Some(Work {
            user,
            exchanges: turns.into_iter().map(|turn| turn.said).collect(),
            n_forgets,
            is_profile_due,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(user: &str, words: &str) -> Waiting {
        Waiting {
            user: UserId::new(user).unwrap(),
            said: Said {
                by_user: words.to_owned(),
                by_agent: String::new(),
            },
            n_forgets: 0,
        }
    }

    /// "user: words, of, each, turn", and "+ profile".
    fn shown(work: Option<Work>) -> String {
        let Some(work) = work else {
            return "nothing".to_owned();
        };
        let words: Vec<_> = work.exchanges.iter().map(|said| &*said.by_user).collect();
        let profile = if work.is_profile_due {
            " + profile"
        } else {
            ""
        };
        format!("{}: {}{profile}", work.user.expose(), words.join(", "))
    }

    #[test]
    fn the_oldest_goes_when_it_is_full() {
        let mut backlog = Backlog::new(2, 0);
        assert!(!backlog.push(turn("a", "1")));
        assert!(!backlog.push(turn("a", "2")));
        assert!(backlog.push(turn("a", "3")));
        assert_eq!(shown(backlog.next()), "a: 2, 3");
        assert_eq!(shown(backlog.next()), "nothing");
    }

    #[test]
    fn what_is_put_back_comes_first_and_not_before_there_is_news() {
        let mut backlog = Backlog::new(3, 3);
        backlog.push(turn("a", "1"));
        assert_eq!(shown(backlog.next()), "a: 1");
        assert_eq!(backlog.put_back(vec![turn("a", "1")]), 0);
        assert_eq!(shown(backlog.next()), "nothing");
        backlog.push(turn("a", "2"));
        assert_eq!(shown(backlog.next()), "a: 1, 2", "each counts once");
        // Two more came meanwhile, and there is room for one of those that come back.
        backlog.push(turn("a", "3"));
        backlog.push(turn("a", "4"));
        assert_eq!(backlog.put_back(vec![turn("a", "1"), turn("a", "2")]), 1);
        assert_eq!(shown(backlog.next()), "a: 2, 3, 4 + profile");
        backlog.close();
        assert!(
            !backlog.is_last_try(),
            "there was another one after the end"
        );
        assert_eq!(shown(backlog.next()), "nothing");
        assert!(backlog.is_last_try());
    }

    #[test]
    fn what_was_said_before_something_was_forgotten_is_looked_at_alone() {
        let mut backlog = Backlog::new(10, 0);
        backlog.push(turn("a", "1"));
        backlog.push(Waiting {
            n_forgets: 1,
            ..turn("a", "2")
        });
        assert_eq!(shown(backlog.next()), "a: 1");
        assert_eq!(shown(backlog.next()), "a: 2");
    }

    #[test]
    fn the_summary_comes_every_few_turns_and_at_the_end() {
        let mut backlog = Backlog::new(10, 2);
        for (words, expected) in [("1", "a: 1"), ("2", "a: 2 + profile"), ("3", "a: 3")] {
            backlog.push(turn("a", words));
            assert_eq!(shown(backlog.next()), expected);
        }
        assert_eq!(shown(backlog.next()), "nothing");
        backlog.close();
        assert_eq!(shown(backlog.next()), "a:  + profile");
        assert_eq!(shown(backlog.next()), "nothing");
    }

    #[test]
    fn the_last_turn_comes_with_the_summary() {
        let mut backlog = Backlog::new(10, 0);
        backlog.push(turn("a", "1"));
        backlog.close();
        assert_eq!(shown(backlog.next()), "a: 1 + profile");
        assert_eq!(shown(backlog.next()), "nothing");
    }

    #[test]
    fn users_are_never_mixed() {
        let mut backlog = Backlog::new(10, 0);
        for (user, words) in [("a", "1"), ("a", "2"), ("b", "3"), ("a", "4")] {
            backlog.push(turn(user, words));
        }
        backlog.close();
        let mut seen = Vec::new();
        for _ in 0..6 {
            seen.push(shown(backlog.next()));
        }
        assert_eq!(
            seen,
            [
                "a: 1, 2",
                "a:  + profile",
                "b: 3",
                "b:  + profile",
                "a: 4 + profile",
                "nothing"
            ]
        );
    }

    #[test]
    fn many_turns_are_looked_at_in_parts() {
        let mut backlog = Backlog::new(20, 0);
        for n in 0..10 {
            backlog.push(turn("a", &n.to_string()));
        }
        assert_eq!(backlog.next().map(|work| work.exchanges.len()), Some(8));
        assert_eq!(backlog.next().map(|work| work.exchanges.len()), Some(2));
    }
}
