use std::collections::HashMap;
use std::time::SystemTime;

use proptest::prelude::*;

use super::super::dispatcher::DispatchRequest;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn state(slots_max: usize) -> State {
    let mut state = State::new(Config {
        agent_name: "a".to_owned(),
        slots_max,
        ..Config::default()
    });
    state.registered("AW_1".to_owned());
    state
}

fn dispatch(job_id: &str) -> Dispatch {
    Dispatch {
        job_id: job_id.to_owned(),
        room: "r".to_owned(),
        ..Dispatch::default()
    }
}

fn ask(state: &mut State, now: Duration, job_id: &str) -> bool {
    let actions = state.message(now, Incoming::Availability(dispatch(job_id)));
    let Some(Action::Send(Outgoing::Availability { accepted_as, .. })) = actions.first() else {
        panic!("the answer does not come first: {actions:?}");
    };
    accepted_as.is_some()
}

fn assign(state: &mut State, now: Duration, job_id: &str) -> Vec<Action> {
    let assignment = Incoming::Assignment {
        dispatch: dispatch(job_id),
        url: String::new(),
        token: "t".to_owned(),
    };
    state.message(now, assignment)
}

fn running(slots_max: usize, job_ids: &[&str]) -> State {
    let mut state = state(slots_max);
    for job_id in job_ids {
        assert!(ask(&mut state, SECOND, job_id));
        assert!(matches!(
            assign(&mut state, SECOND, job_id)[0],
            Action::Start { .. }
        ));
    }
    state
}

fn statuses(actions: &[Action]) -> Vec<(String, JobStatus)> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Send(Outgoing::Job(report)) => {
                Some((report.job_id.clone(), report.status.clone()))
            }
            _ => None,
        })
        .collect()
}

fn availabilities(actions: &[Action]) -> Vec<bool> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Send(Outgoing::Status(report)) => Some(report.is_available),
            _ => None,
        })
        .collect()
}

/// A job that was asked of the worker itself.
fn direct(job_id: &str) -> Direct {
    let dispatch = DirectDispatch {
        id: format!("AD_{job_id}"),
        job_id: job_id.to_owned(),
        request: DispatchRequest {
            room: "r".to_owned(),
            ..DispatchRequest::default()
        },
        worker_id: "AW_1".to_owned(),
        created_at: SystemTime::UNIX_EPOCH,
    };
    let token = Pii::new("t".to_owned());
    Direct {
        dispatch,
        token,
        asked_at: SECOND,
    }
}

#[test]
fn a_job_asked_of_us_starts_at_once_and_the_server_hears_of_the_slot_alone() {
    let mut state = state(1);
    let actions = state.dispatched(direct("j")).unwrap();
    assert!(matches!(actions[0], Action::Start { .. }));
    assert_eq!(statuses(&actions), []);
    assert_eq!(availabilities(&actions), [false], "the slot is taken");
    assert_eq!(state.dispatches("r").len(), 1);
    assert_eq!(state.dispatches("another"), []);
    assert_eq!(state.snapshot().active_jobs, 1);

    state.disconnected("gone".to_owned());
    let actions = state.registered("AW_2".to_owned());
    let is_migration = |action: &Action| matches!(action, Action::Send(Outgoing::Migrate(_)));
    assert!(!actions.iter().any(is_migration), "{actions:?}");

    let actions = state.ended("j".to_owned(), JobEnd::Success);
    assert_eq!(statuses(&actions), []);
    assert_eq!(availabilities(&actions), [true]);
    assert_eq!(state.dispatches("r"), []);
    let snapshot = state.snapshot();
    assert_eq!((snapshot.jobs_succeeded, snapshot.slots_taken), (1, 0));
    assert!(!state.has_unread_ends());
}

#[test]
fn a_job_asked_of_us_is_declined_like_any_other() {
    let mut state = state(1);
    assert!(ask(&mut state, SECOND, "promised"));
    let declined = state.dispatched(direct("j")).unwrap_err();
    assert_eq!(declined, Declined::Refused("every slot is taken"));
    state.message(
        SECOND,
        Incoming::Termination {
            job_id: "promised".to_owned(),
        },
    );
    assert!(state.dispatched(direct("j")).is_ok());
    state.drain(SECOND);
    let declined = state.dispatched(direct("late")).unwrap_err();
    assert_eq!(declined, Declined::Refused("draining"));
}

#[test]
fn a_job_asked_of_us_has_the_grace_of_a_termination_and_holds_a_drain_up() {
    let mut state = state(1);
    state.dispatched(direct("j")).unwrap();
    state.drain(SECOND);
    assert!(!state.is_done());
    let actions = state.end(SECOND, "j");
    assert_eq!(actions, [Action::Cancel("j".to_owned())]);
    assert_eq!(state.end(SECOND * 2, "j"), [], "it was asked already");
    let cut_off = SECOND + Config::default().termination_grace;
    assert_eq!(state.next_deadline(), Some(cut_off));
    let actions = state.deadline(cut_off);
    assert!(actions.contains(&Action::Abort("j".to_owned())));
    state.ended("j".to_owned(), JobEnd::Aborted);
    assert!(state.is_done());
}

#[test]
fn an_assignment_starts_the_job_and_says_so() {
    let mut state = state(1);
    assert!(ask(&mut state, SECOND, "j"));
    let actions = assign(&mut state, SECOND, "j");
    assert!(matches!(&actions[0], Action::Start { dispatch, .. } if dispatch.job_id == "j"));
    assert_eq!(statuses(&actions), [("j".to_owned(), JobStatus::Running)]);
}

#[test]
fn filling_up_and_having_room_again_is_told_at_once() {
    let mut state = state(1);
    let actions = state.message(SECOND, Incoming::Availability(dispatch("j")));
    assert_eq!(availabilities(&actions), [false]);
    assign(&mut state, SECOND, "j");
    let actions = state.ended("j".to_owned(), JobEnd::Success);
    assert_eq!(availabilities(&actions), [true]);
}

#[test]
fn an_assignment_that_comes_too_late_is_refused_so_that_the_server_forgets_the_job() {
    let mut state = state(1);
    assert!(ask(&mut state, SECOND, "j"));
    let late = SECOND + Duration::from_millis(7500);
    assert_eq!(state.next_deadline(), Some(late));
    assert_eq!(availabilities(&state.deadline(late)), [true]);
    let actions = assign(&mut state, late, "j");
    assert!(matches!(
        statuses(&actions)[..],
        [(_, JobStatus::Failed(_))]
    ));
    assert!(
        !actions
            .iter()
            .any(|action| matches!(action, Action::Start { .. }))
    );
}

#[test]
fn a_second_assignment_leaves_the_running_job_alone() {
    let mut state = running(2, &["j"]);
    assert_eq!(assign(&mut state, SECOND, "j"), []);
}

#[test]
fn an_assignment_without_a_token_is_a_failed_job_and_a_free_slot() {
    let mut state = state(1);
    assert!(ask(&mut state, SECOND, "j"));
    let actions = state.message(
        SECOND,
        Incoming::Assignment {
            dispatch: dispatch("j"),
            url: String::new(),
            token: String::new(),
        },
    );
    assert!(matches!(
        statuses(&actions)[..],
        [(_, JobStatus::Failed(_))]
    ));
    assert!(ask(&mut state, SECOND, "k"), "the slot is free");
}

#[test]
fn a_termination_asks_once_then_cuts_off_once() {
    let mut state = running(1, &["j"]);
    let terminate = || Incoming::Termination {
        job_id: "j".to_owned(),
    };
    assert_eq!(
        state.message(SECOND, terminate()),
        [Action::Cancel("j".to_owned())]
    );
    assert_eq!(state.message(2 * SECOND, terminate()), []);
    assert_eq!(
        state.next_deadline(),
        Some(11 * SECOND),
        "a second one gives no more time"
    );
    assert_eq!(state.deadline(11 * SECOND), [Action::Abort("j".to_owned())]);
    assert_eq!(state.next_deadline(), None);
    let actions = state.ended("j".to_owned(), JobEnd::Aborted);
    assert!(matches!(
        statuses(&actions)[..],
        [(_, JobStatus::Failed(_))]
    ));
}

#[test]
fn a_termination_before_the_assignment_frees_the_slot() {
    let mut state = state(1);
    assert!(ask(&mut state, SECOND, "j"));
    state.message(
        SECOND,
        Incoming::Termination {
            job_id: "j".to_owned(),
        },
    );
    assert!(ask(&mut state, SECOND, "k"));
}

#[test]
fn a_panic_is_a_failed_job_and_counted() {
    let mut state = running(2, &["j", "k"]);
    let actions = state.ended("j".to_owned(), JobEnd::Panicked);
    assert!(matches!(
        statuses(&actions)[..],
        [(_, JobStatus::Failed(_))]
    ));
    let snapshot = state.snapshot();
    assert_eq!(
        (
            snapshot.job_panics,
            snapshot.jobs_failed,
            snapshot.active_jobs
        ),
        (1, 1, 1)
    );
}

#[test]
fn after_a_reconnect_running_jobs_and_unread_ends_are_told() {
    let mut state = running(3, &["j", "k"]);
    state.message(SECOND, Incoming::Pong(2));
    state.disconnected("gone".to_owned());
    assert_eq!(
        state.snapshot().unhealthy_because().unwrap(),
        "not registered with LiveKit: gone"
    );
    state.ended("j".to_owned(), JobEnd::Success);
    let actions = state.registered("AW_2".to_owned());
    assert_eq!(
        actions[0],
        Action::Send(Outgoing::Migrate(vec!["k".to_owned()]))
    );
    assert_eq!(statuses(&actions), [("j".to_owned(), JobStatus::Success)]);
    assert_eq!(state.snapshot().reconnects, 1);
}

#[test]
fn what_a_lost_server_promised_does_not_hold_a_slot() {
    let mut state = state(1);
    assert!(ask(&mut state, SECOND, "j"));
    state.disconnected("gone".to_owned());
    state.registered("AW_2".to_owned());
    assert!(ask(&mut state, SECOND, "k"));
}

#[test]
fn a_drain_takes_no_new_jobs_and_ends_with_the_last() {
    let mut state = running(3, &["j"]);
    assert_eq!(availabilities(&state.drain(SECOND)), [false]);
    assert!(!ask(&mut state, SECOND, "k"));
    assert!(!state.is_done());
    state.ended("j".to_owned(), JobEnd::Success);
    assert!(state.is_done());
}

#[test]
fn when_the_drains_time_is_over_jobs_are_asked_and_then_cut_off() {
    let mut state = running(3, &["j"]);
    state.drain(SECOND);
    assert_eq!(state.next_deadline(), Some(3601 * SECOND));
    assert!(
        state
            .deadline(3601 * SECOND)
            .contains(&Action::Cancel("j".to_owned()))
    );
    assert!(
        state
            .deadline(3611 * SECOND)
            .contains(&Action::Abort("j".to_owned()))
    );
}

#[test]
fn a_stop_during_the_drain_asks_jobs_to_end_and_leaves_them_the_time_of_a_termination() {
    let mut state = running(3, &["j"]);
    state.drain(SECOND);
    assert!(
        state
            .stop(2 * SECOND)
            .contains(&Action::Cancel("j".to_owned()))
    );
    assert_eq!(state.next_deadline(), Some(12 * SECOND));
    assert_eq!(state.deadline(11 * SECOND), []);
    assert_eq!(state.deadline(12 * SECOND), [Action::Abort("j".to_owned())]);
}

#[test]
fn a_stop_cuts_off_jobs_that_were_asked_to_end_by_a_stop_or_by_the_end_of_the_drain() {
    let asked_by_a_stop = |state: &mut State| {
        state.stop(3600 * SECOND);
    };
    let asked_by_the_end_of_the_drain = |state: &mut State| {
        state.drain(Duration::ZERO);
        state.deadline(3600 * SECOND);
    };
    let asking: [fn(&mut State); 2] = [asked_by_a_stop, asked_by_the_end_of_the_drain];
    for ask in asking {
        let mut state = running(3, &["j"]);
        ask(&mut state);
        let now = 3601 * SECOND;
        state.stop(now);
        assert_eq!(state.next_deadline(), Some(now));
        assert_eq!(state.deadline(now), [Action::Abort("j".to_owned())]);
    }
}

#[test]
fn a_first_stop_leaves_a_job_that_the_server_terminated_its_time() {
    let mut state = running(3, &["j", "k"]);
    let job_id = "j".to_owned();
    state.message(SECOND, Incoming::Termination { job_id });
    let actions = state.stop(2 * SECOND);
    assert!(actions.contains(&Action::Cancel("k".to_owned())));
    assert_eq!(state.next_deadline(), Some(11 * SECOND));
}

#[test]
fn an_available_worker_can_be_picked_however_busy_it_is() {
    let mut state = State::new(Config {
        load_threshold: 1.0,
        ..Config::default()
    });
    state.measured(1.0, Sample::default());
    let Action::Send(Outgoing::Status(report)) = state.report() else {
        panic!("not a report");
    };
    assert!(report.is_available && report.load < 0.7, "{report:?}");
}

#[derive(Clone, Debug)]
enum Step {
    Ask(u8),
    Assign(u8),
    Direct(u8),
    Terminate(u8),
    End(u8, JobEnd),
    Wait(u16),
    Lose,
    Register,
    Pong(i64),
    Measure(f32),
    Drain,
    Stop,
}

fn step() -> impl Strategy<Value = Step> {
    let end = prop_oneof![
        Just(JobEnd::Success),
        Just(JobEnd::Failed(String::new())),
        Just(JobEnd::Panicked)
    ];
    prop_oneof![
        4 => (0_u8..8).prop_map(Step::Ask),
        4 => (0_u8..8).prop_map(Step::Assign),
        3 => (0_u8..8).prop_map(Step::Direct),
        1 => (0_u8..8).prop_map(Step::Terminate),
        2 => (0_u8..8, end).prop_map(|(job, end)| Step::End(job, end)),
        2 => (0_u16..20_000).prop_map(Step::Wait),
        1 => Just(Step::Lose),
        1 => Just(Step::Register),
        1 => (0_i64..40).prop_map(Step::Pong),
        1 => (0.0_f32..1.0).prop_map(Step::Measure),
        1 => Just(Step::Drain),
        1 => Just(Step::Stop),
    ]
}

proptest! {
    /// The shell's part is played here: what is started runs until it is ended or cut off.
    #[test]
    fn every_job_that_starts_gets_one_end_status_and_slots_hold(
        steps in proptest::collection::vec(step(), 0..120)
    ) {
        let mut state = state(3);
        let mut now = SECOND;
        let mut running: Vec<String> = Vec::new();
        let mut ends: HashMap<String, i32> = HashMap::new();
        for step in steps {
            let mut actions = match step {
                Step::Ask(job) => state.message(now, Incoming::Availability(dispatch(&job.to_string()))),
                Step::Assign(job) => assign(&mut state, now, &job.to_string()),
                Step::Direct(job) => {
                    let job_id = format!("direct{job}");
                    match running.contains(&job_id) {
                        true => state.end(now, &job_id),
                        false => state.dispatched(direct(&job_id)).unwrap_or_default(),
                    }
                }
                Step::Terminate(job) => {
                    state.message(now, Incoming::Termination { job_id: job.to_string() })
                }
                Step::End(job, end) => match running.len() {
                    0 => Vec::new(),
                    n => state.ended(running.swap_remove(usize::from(job) % n), end),
                },
                Step::Wait(ms) => {
                    now += Duration::from_millis(ms.into());
                    state.deadline(now)
                }
                Step::Lose => {
                    state.disconnected(String::new());
                    Vec::new()
                }
                Step::Register => state.registered("AW".to_owned()).into_iter()
                    .filter(|action| !matches!(action, Action::Send(Outgoing::Job(_))))
                    .collect(),
                Step::Pong(ping) => state.message(now, Incoming::Pong(ping)),
                Step::Measure(load) => state.measured(load, Sample::default()),
                Step::Drain => state.drain(now),
                Step::Stop => state.stop(now),
            };
            while let Some(action) = (!actions.is_empty()).then(|| actions.remove(0)) {
                match action {
                    Action::Start { dispatch, .. } => {
                        prop_assert!(!running.contains(&dispatch.job_id));
                        ends.insert(dispatch.job_id.clone(), 0);
                        running.push(dispatch.job_id);
                    }
                    Action::Abort(id) => {
                        let at = running.iter().position(|running| *running == id);
                        prop_assert!(at.is_some(), "cut off what does not run");
                        actions.extend(state.ended(running.swap_remove(at.unwrap()), JobEnd::Aborted));
                    }
                    Action::Send(Outgoing::Job(report)) if report.status != JobStatus::Running => {
                        if let Some(count) = ends.get_mut(&report.job_id)
                            && !running.contains(&report.job_id)
                        {
                            *count += 1;
                        }
                    }
                    _ => {}
                }
            }
            let snapshot = state.snapshot();
            prop_assert!(snapshot.slots_taken <= 3);
            prop_assert_eq!(snapshot.active_jobs, running.len());
            prop_assert!((0.0..=1.0).contains(&snapshot.load));
            for (job, count) in &ends {
                // The server never hears of what was asked of us.
                let is_over = !running.contains(job) && !job.starts_with("direct");
                prop_assert!(if is_over { *count >= 1 } else { *count == 0 }, "{} {}", job, count);
            }
        }
    }
}
