use serde_json::json;
use uuid::Uuid;

use super::*;

fn why() -> String {
    "why".to_owned()
}

fn next(shape: &Shape, log: &[Entry]) -> (State, Next, bool) {
    let plan = plan(shape, log).unwrap_or_else(|error| panic!("{error}"));
    (plan.state, plan.next, plan.begun)
}

#[test]
fn an_empty_log_means_that_the_first_step_was_begun() {
    assert_eq!(next(&shape(&["a", "b"]), &[]), (State::Running, Next::Act(0), true));
}

#[test]
fn a_log_says_what_is_next_at_each_of_its_lengths() {
    let shape = shape(&["a", "b!", "c"]);
    let log = [
        (Event::Done(json!(1)), "a", (State::Running, Next::Act(1), false)),
        (Event::Begun, "b", (State::Running, Next::Act(1), true)),
        (Event::Unknown(why()), "b", (State::Running, Next::Act(1), true)),
        (Event::Done(json!(2)), "b", (State::Running, Next::Act(2), false)),
        (Event::Begun, "c", (State::Running, Next::Act(2), true)),
        (Event::Refused(why()), "c", (State::Undoing, Next::Undo(0), false)),
        (Event::UndoBegun, "a", (State::Undoing, Next::Undo(0), true)),
        (Event::NotYet(why()), "a", (State::Undoing, Next::Undo(0), true)),
        (Event::Stuck(why()), "a", (State::Stuck, Next::Undo(0), true)),
        (Event::Retried(why()), "a", (State::Undoing, Next::Undo(0), true)),
        (Event::Undone, "a", (State::Compensated, Next::Nothing, false)),
    ];
    let mut so_far = Vec::new();
    for (event, step, expected) in log {
        so_far.push(entry(step, event));
        let (state, next, begun) = next(&shape, &so_far);
        assert_eq!((state, next), (expected.0, expected.1), "after {:?}", so_far.last());
        assert!(next == Next::Nothing || begun == expected.2, "after {:?}", so_far.last());
    }
}

#[test]
fn an_order_undoes_the_step_in_doubt_first() {
    let shape = shape(&["a", "b", "c"]);
    let mut log = vec![entry("a", Event::Done(json!(1))), entry("b", Event::Begun), entry("b", Event::Ordered(why()))];
    assert_eq!(next(&shape, &log), (State::Undoing, Next::Undo(1), false));
    log.remove(1);
    assert_eq!(next(&shape, &log), (State::Undoing, Next::Undo(0), false), "what was not begun needs no undo");
}

#[test]
fn entries_that_cannot_follow_are_refused() {
    let shape = shape(&["a", "b"]);
    let done = entry("a", Event::Done(json!(1)));
    for log in [
        vec![entry("a", Event::Begun)],
        vec![entry("b", Event::Begun)],
        vec![entry("a", Event::Undone)],
        vec![entry("a", Event::Retried(why()))],
        vec![done.clone(), done.clone()],
        vec![done.clone(), entry("b", Event::Done(json!(1)))],
        vec![done.clone(), entry("c", Event::Begun)],
        vec![entry("a", Event::Refused(why())), entry("", Event::Ordered(why()))],
    ] {
        let error = plan(&shape, &log).expect_err("not a log of ours");
        assert_eq!(error.at, log.len() - 1, "{error}");
    }
}

#[test]
fn keys_are_the_sagas_and_the_steps_alone() {
    let saga = Uuid::from_u128(7);
    let key = step_key(saga, "payment");
    assert_eq!(key, step_key(saga, "payment"));
    assert_eq!(key.to_string(), "d48e8a7f-7fe6-8252-a384-4c9fff9d55be", "never changes: others keep it");
    assert_eq!(key.get_version_num(), 8);
    assert_ne!(key, step_key(saga, "place"));
    assert_ne!(key, step_key(Uuid::from_u128(8), "payment"));
}

#[test]
fn waits_double_and_are_spread() {
    assert_eq!([1, 2, 3, 4].map(|tries| backoff_ms(tries, 1.0)), [50, 100, 200, 400]);
    assert_eq!([1, 2].map(|tries| backoff_ms(tries, 0.0)), [25, 50]);
    assert_eq!([10, 11, 1_000_000].map(|tries| backoff_ms(tries, 1.0)), [25_600, 30_000, 30_000]);
}

#[test]
fn every_event_is_read_back() {
    let events = [
        Event::Begun,
        Event::Done(json!({ "id": "7", "n": [1, null] })),
        Event::Refused(why()),
        Event::Unknown(why()),
        Event::Stuck(why()),
        Event::UndoBegun,
        Event::Undone,
        Event::NotYet(why()),
        Event::Ordered(why()),
        Event::Retried(why()),
    ];
    for event in events {
        assert_eq!(Event::read(event.name(), event.detail()), Some(event));
    }
    assert_eq!(Event::read("else", String::new()), None);
}

#[test]
fn a_fingerprint_shows_the_list() {
    assert_eq!(shape(&["place", "notice!"]).fingerprint(), "test 1\n- place\n- notice (no undo)");
}

#[test]
fn old_versions_stay_and_the_newest_is_started() {
    let one = |version| Definition::<()>::new("one", version).step_without_undo("a", async |(), _| Outcome::DONE);
    let registry = Registry::new([one(2), one(1)]);
    assert_eq!(registry.newest("one").map(|found| found.shape().version), Some(2));
    assert!(registry.get("one", 1).is_some() && registry.get("one", 3).is_none() && registry.newest("two").is_none());
}
