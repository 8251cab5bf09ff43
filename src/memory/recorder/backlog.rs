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
}

impl Backlog {
    pub(super) fn new(n_max: usize, profile_every: u32) -> Self {
        Self {
            waiting: VecDeque::new(),
            n_max: n_max.max(1),
            profile_every,
            unsummarised: None,
        }
    }

    /// Adds a turn; returns whether the oldest had to go for it.
    pub(super) fn push(&mut self, turn: Waiting) -> bool {
        let is_full = self.waiting.len() >= self.n_max;
        if is_full {
            self.waiting.pop_front();
        }
        self.waiting.push_back(turn);
        is_full
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Takes what is to be done next. `is_open`: whether the call goes on.
    pub(super) fn next(&mut self, is_open: bool) -> Option<Work> {
        let user = self.waiting.front().map(|turn| turn.user.clone());
        // The summary of one who is gone, or of a call that is over.
        let is_gone = |(last, _): &mut (Waiting, u32)| match &user {
            Some(user) => last.user != *user,
            None => !is_open,
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
        let mut turns = Vec::new();
        while turns.len() < EXCHANGES_MAX
            && let Some(turn) = self.waiting.pop_front_if(|turn| turn.user == user)
        {
            turns.push(turn);
        }
        let last = turns.last()?.clone();
        let before = self.unsummarised.take().map_or(0, |(_, n)| n);
        let n_turns = before + u32::try_from(turns.len()).unwrap_or(u32::MAX);
        let is_last = !is_open && self.waiting.is_empty();
        let is_due = self.profile_every > 0 && n_turns >= self.profile_every;
        let is_profile_due = is_last || is_due;
        let n_forgets = turns.first()?.n_forgets;
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
        assert_eq!(shown(backlog.next(true)), "a: 2, 3");
        assert_eq!(shown(backlog.next(true)), "nothing");
    }

    #[test]
    fn the_summary_comes_every_few_turns_and_at_the_end() {
        let mut backlog = Backlog::new(10, 2);
        for (words, expected) in [("1", "a: 1"), ("2", "a: 2 + profile"), ("3", "a: 3")] {
            backlog.push(turn("a", words));
            assert_eq!(shown(backlog.next(true)), expected);
        }
        assert_eq!(shown(backlog.next(true)), "nothing");
        assert_eq!(shown(backlog.next(false)), "a:  + profile");
        assert_eq!(shown(backlog.next(false)), "nothing");
    }

    #[test]
    fn the_last_turn_comes_with_the_summary() {
        let mut backlog = Backlog::new(10, 0);
        backlog.push(turn("a", "1"));
        assert_eq!(shown(backlog.next(false)), "a: 1 + profile");
        assert_eq!(shown(backlog.next(false)), "nothing");
    }

    #[test]
    fn users_are_never_mixed() {
        let mut backlog = Backlog::new(10, 0);
        for (user, words) in [("a", "1"), ("a", "2"), ("b", "3"), ("a", "4")] {
            backlog.push(turn(user, words));
        }
        let mut seen = Vec::new();
        for _ in 0..6 {
            seen.push(shown(backlog.next(false)));
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
        assert_eq!(backlog.next(true).map(|work| work.exchanges.len()), Some(8));
        assert_eq!(backlog.next(true).map(|work| work.exchanges.len()), Some(2));
    }
}
