//! The user of a call changes, or leaves and comes back: with LiveKit's official Python SDK.

use std::time::Duration;

use serde_json::{Value, json};
use voxpool::session::Greeting;

use super::House;
use super::official::OfficialCaller;
use crate::pool::stages::Options;

const ROOM: &str = "changed";

/// A house whose calls wait so long for a user to come back.
async fn waits(return_within: Duration) -> House {
    let greeting = Greeting {
        text: "Hello.".to_owned(),
        ..Greeting::default()
    };
    let change = |profile: &mut voxpool::agent::Profile| {
        profile.settings.session.return_within = return_within;
    };
    House::build(None, greeting, None, Options::default, change).await
}

impl OfficialCaller {
    /// A participant who is in the room, and has seen the agent there.
    async fn joins(url: &str, identity: &str) -> Self {
        let mut caller = Self::start_as(url, ROOM, identity, &[]);
        let joined = caller.until("the participant is there", |event| {
            event["event"] == "joined"
        });
        joined.await;
        caller
    }

    /// The user, who has said something and was answered.
    async fn known(url: &str) -> Self {
        let mut alice = Self::joins(url, "alice").await;
        alice.reads(true, "Hello").await;
        alice.command("type my name is John").await;
        alice.reads(true, "Nice to meet you").await;
        alice
    }

    /// Whether the agent answers within a second: it answers the user alone.
    async fn is_answered(&mut self, request: &str) -> Option<Value> {
        self.command(&format!("ask id {request} {{}}")).await;
        let answer = self.until("an answer", |event| event["event"] == "response");
        let answer = tokio::time::timeout(Duration::from_secs(1), answer).await;
        answer.ok()
    }

    async fn history(&mut self) -> String {
        let history = self.ask("h", "get_chat_history", &json!({})).await;
        history["details"].to_string()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_reads_nothing_of_the_first() {
    let house = waits(Duration::from_secs(4)).await;
    let url = house.server.url();
    let alice = OfficialCaller::known(&url).await;
    let mut bob = OfficialCaller::joins(&url, "bob").await;
    house.server.remove_participant(ROOM, "alice").await;
    assert!(bob.is_answered("get_chat_history").await.is_none());
    // Greeted: he is the user by now.
    bob.reads(true, "Hello").await;
    for request in ["get_chat_history", "get_agent_info"] {
        let answer = bob.ask(request, request, &json!({})).await;
        assert!(!answer.to_string().contains("John"), "{answer}");
    }
    bob.command("type what is two plus two").await;
    let is_item = |details: &Value| details["item"]["message"]["role"] == "USER";
    bob.told("conversation_item_added", is_item).await;
    let history = bob.history().await;
    assert!(history.contains("two plus two") && !history.contains("John"));
    drop(alice);
    house.server.delete_room(ROOM).await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_comes_back_in_time_goes_on_where_they_were() {
    let house = waits(Duration::from_secs(60)).await;
    let url = house.server.url();
    let removed = OfficialCaller::known(&url).await;
    let mut bob = OfficialCaller::joins(&url, "bob").await;
    house.server.remove_participant(ROOM, "alice").await;
    assert!(bob.is_answered("get_agent_info").await.is_none());
    drop(removed);

    let mut alice = OfficialCaller::joins(&url, "alice").await;
    let is_back = |details: &Value| details["old_state"] == "US_AWAY";
    alice.told("user_state_changed", is_back).await;
    let history = alice.history().await;
    assert!(history.contains("John"), "{history}");
    // As a page does that is loaded anew.
    alice.hang_up().await;
    assert!(bob.is_answered("get_chat_history").await.is_none());
    let mut alice = OfficialCaller::joins(&url, "alice").await;
    alice.told("user_state_changed", is_back).await;
    alice.command("type what is my name").await;
    alice.reads(true, "John").await;
    house.server.delete_room(ROOM).await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_ends_when_its_user_does_not_come_back() {
    let mut house = waits(Duration::from_secs(1)).await;
    let url = house.server.url();
    let alice = OfficialCaller::known(&url).await;
    // A participant who stays is not talked to in place of one who hung up.
    let mut bob = OfficialCaller::joins(&url, "bob").await;
    alice.hang_up().await;
    house
        .worker
        .until("the job ends", |worker| worker.active_jobs == 0)
        .await;
    bob.command("type hello").await;
    bob.hang_up().await;
    house.close().await;
}
