//! Methods that other participants can call on the agent, and who may call them.

use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use livekit::prelude::{LocalParticipant, RpcError, RpcErrorCode};
use tokio::time::Instant;

use super::link::Link;
use crate::bucket::TokenBucket;
use crate::intake::{CallIntake, InputKind};
use crate::redact::Pii;

/// Calls of all methods of one room, per second and at once.
const CALLS_PER_SECOND: f64 = 5.0;
const CALLS_BURST: u32 = 10;

/// The caller of a method. The identity comes from the server, which has read it in a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The user.
    User(Pii<String>),
    /// A participant whom `agent.rpc_callers` lists.
    Listed(Pii<String>),
}

/// Runs a method: takes the caller's payload and answers with text, or says why it cannot.
pub type RpcCall =
    Arc<dyn Fn(Caller, String) -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

/// A method of the agent's participant.
#[derive(Clone)]
pub struct RpcMethod {
    /// What callers name.
    pub name: String,
    /// Is called for callers who may.
    pub call: RpcCall,
}

/// Admits callers: the user and the listed identities, and no more calls than one room needs.
pub(super) struct Callers {
    link: Arc<Link>,
    /// Identities; `*` stands for any characters.
    listed: Vec<String>,
    intake: CallIntake,
    calls: Mutex<TokenBucket>,
}

impl Callers {
    pub(super) fn new(
        now: Instant,
        link: Arc<Link>,
        listed: Vec<String>,
        intake: CallIntake,
    ) -> Self {
        let calls = TokenBucket::new(CALLS_PER_SECOND, CALLS_BURST, now);
        Self {
            link,
            listed,
            intake,
            calls: Mutex::new(calls),
        }
    }

    /// The caller, or why the call is refused. A refused stranger takes no token of the others.
    fn admit(&self, now: Instant, identity: &str) -> Result<Caller, &'static str> {
        let caller = self.caller(identity).ok_or(
            "only the agent's user and the identities of agent.rpc_callers may call its methods",
        );
        let admitted = caller.and_then(|caller| {
            let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
            match calls.try_take(now) {
                true => Ok(caller),
                false => Err("too many calls at once; try again in a second"),
            }
        });
        admitted.inspect_err(|why| self.intake.refuse(InputKind::Rpc, why))
    }

    fn caller(&self, identity: &str) -> Option<Caller> {
        let name = || Pii::new(identity.to_owned());
        let user = self.link.get().user;
        if user.is_some_and(|user| user.as_str() == identity) {
            return Some(Caller::User(name()));
        }
        let mut listed = self.listed.iter();
        let is_listed = listed.any(|pattern| matches(pattern, identity));
        is_listed.then(|| Caller::Listed(name()))
    }
}

/// Whether `*` in the pattern can stand for characters so that it reads as the identity.
fn matches(pattern: &str, identity: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == identity;
    };
    let Some(mut left) = identity.strip_prefix(first) else {
        return false;
    };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        let Some(at) = left.find(part) else {
            return false;
        };
        left = &left[at + part.len()..];
    }
    left.ends_with(last)
}

/// Makes the methods callable for those whom `callers` admits.
pub(super) fn register(
    participant: &LocalParticipant,
    methods: Vec<RpcMethod>,
    callers: &Arc<Callers>,
) {
    for method in methods {
        let (call, callers) = (method.call, Arc::clone(callers));
        participant.register_rpc_method(method.name, move |invocation| {
            let caller = callers.admit(Instant::now(), invocation.caller_identity.as_str());
            let answer = match caller {
                Ok(caller) => call(caller, invocation.payload),
                Err(why) => futures::future::ready(Err(why.to_owned())).boxed(),
            };
            let answer = answer.map(|answer| {
                answer.map_err(|why| RpcError::built_in(RpcErrorCode::ApplicationError, Some(why)))
            });
            Box::pin(answer)
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::intake::RefusedInput;

    fn callers(listed: &[&str], refused: &RefusedInput) -> Callers {
        let link = Arc::new(Link::default());
        link.set_user("ann".to_owned().into());
        let listed = listed.iter().map(|it| (*it).to_owned()).collect();
        Callers::new(Instant::now(), link, listed, refused.for_call())
    }

    #[test]
    fn the_user_and_listed_identities_may_call_and_no_other() {
        let refused = RefusedInput::default();
        let callers = callers(&["app", "desk-*"], &refused);
        let now = Instant::now();
        let name = |identity: &str| Pii::new(identity.to_owned());
        assert_eq!(callers.admit(now, "ann"), Ok(Caller::User(name("ann"))));
        assert_eq!(callers.admit(now, "app"), Ok(Caller::Listed(name("app"))));
        let desk = callers.admit(now, "desk-7");
        assert_eq!(desk, Ok(Caller::Listed(name("desk-7"))));
        for stranger in ["eve", "apple", "my-desk-7", ""] {
            let why = callers.admit(now, stranger).unwrap_err();
            assert!(why.contains("agent.rpc_callers"), "{why}");
        }
        callers.link.clear();
        assert!(callers.admit(now, "ann").is_err(), "ann is away");
        assert_eq!(refused.count(InputKind::Rpc), 5);
    }

    #[test]
    fn calls_have_a_rate_that_strangers_do_not_use_up() {
        let refused = RefusedInput::default();
        let callers = callers(&[], &refused);
        let now = Instant::now();
        for _ in 0..100 {
            assert!(callers.admit(now, "eve").is_err());
        }
        for _ in 0..CALLS_BURST {
            assert!(callers.admit(now, "ann").is_ok());
        }
        assert!(callers.admit(now, "ann").is_err());
        let later = now + Duration::from_millis(1_100);
        let admitted = (0..CALLS_BURST).filter(|_| callers.admit(later, "ann").is_ok());
        assert_eq!(admitted.count(), 5);
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, identity, is_match) in [
            ("*", "", true),
            ("*", "ann", true),
            ("", "ann", false),
            ("a*n", "ann", true),
            ("a*n", "an", true),
            ("an*n", "an", false),
            ("*-app", "desk-app", true),
            ("*-app", "desk-app-2", false),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("*é*", "café au lait", true),
        ] {
            assert_eq!(matches(pattern, identity), is_match, "{pattern} {identity}");
        }
    }
}
