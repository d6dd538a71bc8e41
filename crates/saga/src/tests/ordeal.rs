//! The kit finds nothing in a sound saga, and what was planted in an unsound one.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::kit::{Start, ordeal};

/// What steps leave in the world: at most one thing per key, as idempotent steps do.
#[derive(Clone, Default)]
struct World(Arc<Mutex<Things>>);

#[derive(Default)]
struct Things {
    kept: BTreeSet<Uuid>,
    /// Without a key: each call leaves one more.
    careless: usize,
}

impl World {
    fn keep(&self, call: &Call) -> Outcome {
        self.0.lock().expect("a world").kept.insert(call.key);
        Outcome::Done(json!(call.key))
    }

    fn drop(&self, call: &Call) -> Undone {
        self.0.lock().expect("a world").kept.remove(&call.key);
        Undone::Done
    }

    /// Everything there after completion, nothing left over after compensation.
    fn check(&self, state: State, things: usize) -> Result<(), String> {
        let world = self.0.lock().expect("a world");
        let wanted = if state == State::Completed { things } else { 0 };
        let found = world.kept.len() + world.careless;
        if found == wanted { Ok(()) } else { Err(format!("{found} things where {wanted} should be")) }
    }
}

fn start() -> Start<World> {
    Start { context: World::default(), saga: Uuid::from_u128(1), subject: "s".to_owned(), data: json!({}) }
}

async fn keep(world: World, call: Call) -> Outcome {
    world.keep(&call)
}

async fn drop_it(world: World, call: Call) -> Undone {
    world.drop(&call)
}

async fn look(_world: World, call: Call) -> Outcome {
    match call.result::<Uuid>("place") {
        Ok(key) if key == step_key(call.saga, "place") => Outcome::DONE,
        other => Outcome::stuck(format!("{other:?} is not the first step's result")),
    }
}

fn sound() -> Definition<World> {
    Definition::new("sound", 1)
        .step("place", keep, drop_it)
        .step("payment", keep, drop_it)
        .step_without_undo("eligibility", look)
        .step("confirmation", keep, drop_it)
}

#[tokio::test]
async fn a_sound_saga_stands_every_script() {
    let scripts = ordeal(&sound(), async || start(), async |world, state| world.check(state, 3)).await;
    let scripts = scripts.unwrap_or_else(|faults| panic!("{faults}"));
    assert!(scripts > 100, "{scripts}");
}

#[tokio::test]
async fn a_missing_undo_is_found() {
    let unsound = Definition::new("unsound", 1).step_without_undo("place", keep).step("payment", keep, drop_it);
    let faults = ordeal(&unsound, async || start(), async |world, state| world.check(state, 2)).await;
    let faults = faults.expect_err("a thing is left over").0;
    assert!(faults.iter().all(|fault| fault.script.ends() == State::Compensated), "{faults:?}");
    assert!(faults.iter().any(|fault| fault.script.refused == Some(1)), "{faults:?}");
}

#[tokio::test]
async fn an_action_that_is_not_idempotent_is_found() {
    async fn careless(world: World, _call: Call) -> Outcome {
        world.0.lock().expect("a world").careless += 1;
        Outcome::DONE
    }
    async fn tidy(world: World, _call: Call) -> Undone {
        world.0.lock().expect("a world").careless = 0;
        Undone::Done
    }
    let unsound = Definition::new("unsound", 1).step("place", keep, drop_it).step("payment", careless, tidy);
    let faults = ordeal(&unsound, async || start(), async |world, state| world.check(state, 2)).await;
    let faults = faults.expect_err("a thing is there twice").to_string();
    for script in ["everything twice", "CrashAfter at the action of step 1", "AgainAfter(2) at the action of step 1"] {
        assert!(faults.contains(script), "{faults}");
    }
}

#[tokio::test]
async fn an_undo_that_needs_its_action_is_found() {
    async fn strict(world: World, call: Call) -> Undone {
        let was_there = world.0.lock().expect("a world").kept.remove(&call.key);
        if was_there { Undone::Done } else { Undone::not_yet("it is not there") }
    }
    let unsound = Definition::new("unsound", 1).step("place", keep, strict).step("payment", keep, drop_it);
    let faults = ordeal(&unsound, async || start(), async |world, state| world.check(state, 2)).await;
    let faults = faults.expect_err("its undo cannot be repeated").to_string();
    assert!(faults.contains("step 1 refused, everything twice"), "{faults}");
    assert!(faults.contains("CrashAfter at the undo of step 0"), "{faults}");
}
