use futures::FutureExt;

use super::super::{Config, EndpointConfig};
use super::*;
use crate::error::Service;

const SECOND: Duration = Duration::from_secs(1);

fn error(kind: ErrorKind) -> CallError {
    CallError::new(Service::OpenAi, "test", kind)
}

fn choice(hosts: &[&str]) -> Arc<Choice> {
    let pool = ConnectionPool::new(Config::default()).unwrap();
    let candidates = hosts.iter().map(|host| Candidate {
        endpoint: Endpoint::new(&EndpointConfig {
            base_url: format!("http://{host}"),
            ..EndpointConfig::default()
        })
        .unwrap(),
        model: "m".to_owned(),
    });
    Arc::new(Choice::new("llm", pool, candidates.collect()))
}

/// One call; those in `down` fail in this way. Who was asked, and who answered.
async fn ask(
    choice: &Choice,
    down: &'static [usize],
    kind: ErrorKind,
) -> (Vec<usize>, Option<usize>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let answer = choice
        .call(move |place| {
            noted.lock().unwrap().push(place);
            let result = match down.contains(&place) {
                true => Err(error(kind)),
                false => Ok(place),
            };
            async move { result }.boxed()
        })
        .await;
    let asked = asked.lock().unwrap().clone();
    (asked, answer.ok())
}

#[tokio::test(start_paused = true)]
async fn the_next_one_is_asked_until_one_answers() {
    let choice = choice(&["a", "b", "c"]);
    let kind = ErrorKind::Unavailable;
    assert_eq!(ask(&choice, &[], kind).await, (vec![0], Some(0)));
    assert_eq!(ask(&choice, &[0, 1], kind).await, (vec![0, 1, 2], Some(2)));
    // The others rest: they are the last resort.
    assert_eq!(ask(&choice, &[2], kind).await, (vec![2, 0], Some(0)));
    assert_eq!(ask(&choice, &[0, 1, 2], kind).await.1, None);
}

#[tokio::test(start_paused = true)]
async fn one_that_failed_rests_longer_each_time_and_is_the_first_choice_again_when_it_answers() {
    let rules = BreakerConfig::default();
    let late = CallError::new(Service::OpenAi, "test", ErrorKind::Timeout);
    let mut standing = Standing::default();
    let mut now = Instant::now();
    let mut rests = Vec::new();
    for _ in 0..5 {
        standing.failed(&late, now, &rules);
        // Calls that began before the rest say the same once more.
        standing.failed(&late, now, &rules);
        let until = standing.rests_until.unwrap();
        assert!(standing.is_resting(until - SECOND) && !standing.is_resting(until));
        rests.push((until - now).as_secs());
        now = until;
    }
    assert_eq!(rests, [5, 10, 20, 40, 60]);
    standing.succeeded();
    standing.failed(&late, now, &rules);
    assert_eq!(standing.rests_until, Some(now + 5 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_asks_for_a_pause_gets_it() {
    let rules = BreakerConfig::default();
    let now = Instant::now();
    for (asked, rest) in [(1, 5), (30, 30), (3600, 60)] {
        let mut standing = Standing::default();
        let error = CallError {
            retry_after: Some(asked * SECOND),
            ..CallError::new(Service::OpenAi, "test", ErrorKind::RateLimited)
        };
        standing.failed(&error, now, &rules);
        assert_eq!(standing.rests_until, Some(now + rest * SECOND));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_refused_for_what_it_is_says_nothing_of_the_service() {
    let choice = choice(&["a", "b"]);
    let kind = ErrorKind::Rejected;
    assert_eq!(ask(&choice, &[0], kind).await, (vec![0, 1], Some(1)));
    assert_eq!(ask(&choice, &[], kind).await, (vec![0], Some(0)));
}

#[tokio::test(start_paused = true)]
async fn nobody_takes_over_in_the_middle_of_an_answer() {
    let choice = choice(&["a", "b"]);
    let speak = || {
        choice.stream(|place| {
            let items = match place {
                0 => vec![Ok("first"), Err(error(ErrorKind::Malformed))],
                _ => vec![Ok("second"), Ok("more")],
            };
            stream::iter(items).boxed()
        })
    };
    let heard: Vec<_> = speak().collect().await;
    assert!(matches!(heard[..], [Ok("first"), Err(_)]), "{heard:?}");
    let heard: Vec<_> = speak().collect().await;
    assert!(matches!(heard[..], [Ok("second"), Ok("more")]), "{heard:?}");
}

#[tokio::test(start_paused = true)]
async fn the_statistics_say_who_serves() {
    let choice = choice(&["a", "b"]);
    ask(&choice, &[0], ErrorKind::Timeout).await;
    let stages = choice.pool.stats().await.stages;
    let stage = serde_json::to_value(&stages[0]).unwrap();
    assert_eq!(stage["stage"], "llm");
    assert_eq!(
        (stage["in_use"].clone(), stage["changes"].clone()),
        (1.into(), 1.into())
    );
    assert_eq!(stage["candidates"][0]["host"], "a:80");
    assert_eq!(stage["candidates"][1]["is_in_use"], true);
}

#[test]
fn several_services_share_the_time_that_a_caller_waits() {
    for (timeout, fallback_after, expected) in [
        (10, 5, vec![10]),
        (10, 5, vec![5, 5]),
        (10, 2, vec![2, 2, 6]),
        // A share must be worth asking for.
        (10, 5, vec![5, 5, 5]),
        (3, 5, vec![3, 3]),
    ] {
        let (timeout, fallback_after) = (timeout * SECOND, fallback_after * SECOND);
        let shares: Vec<_> = shares(timeout, fallback_after, expected.len()).collect();
        let timeouts: Vec<_> = shares.iter().map(|share| share.timeout).collect();
        let expected: Vec<_> = expected.into_iter().map(|it| it * SECOND).collect();
        assert_eq!(timeouts, expected);
        // Who can be replaced is asked once.
        let (last, others) = shares.split_last().unwrap();
        assert_eq!(last.retries_max, None);
        assert!(others.iter().all(|share| share.retries_max == Some(0)));
    }
}
