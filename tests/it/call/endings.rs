//! Calls that end from outside: the room is deleted, the server dies. The worker goes on.

use voxpool::worker::{Stop, WorkerEnd};

use super::{Caller, House};

impl House {
    async fn no_call_is_left(&mut self) {
        self.worker
            .until("the job ends", |worker| worker.active_jobs == 0)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_vanishes_ends_its_call_and_no_other() {
    let mut house = House::open(None, "Welcome.").await;
    let stays = Caller::join(&house.server.url(), "stays").await;
    stays.reads(true, "Welcome").await;
    let vanishes = Caller::join(&house.server.url(), "vanishes").await;
    vanishes.reads(true, "Welcome").await;
    house.server.delete_room("vanishes").await;
    house
        .worker
        .until("one job ends", |worker| {
            worker.jobs_succeeded + worker.jobs_failed == 1
        })
        .await;
    stays.type_text("my name is John").await;
    stays.reads(true, "Nice to meet you").await;
    // A caller whose connection broke before it was told why may have made the room anew, and a job
    // may wait in it: this is not about that one.
    house.services.stop().await;
    house.worker.stop(Stop::Now).await;
    assert_eq!(house.worker.ended().await, WorkerEnd::Stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_and_comes_back_gets_its_next_call_served() {
    let mut house = House::open(None, "Welcome.").await;
    let before = Caller::join(&house.server.url(), "before").await;
    before.reads(true, "Welcome").await;
    house.server.kill();
    house
        .worker
        .until("the worker notices", |worker| worker.worker_id.is_none())
        .await;
    house.server.restart().await;
    house
        .worker
        .until("the worker is back", |worker| worker.worker_id.is_some())
        .await;
    let after = Caller::join(&house.server.url(), "after").await;
    after.reads(true, "Welcome").await;
    after.hang_up().await;
    // Its connection may be lost already, or made anew: either way the call is over now.
    drop(before.room.close().await);
    house.no_call_is_left().await;
    house.close().await;
}
