//! Random lists of steps, random outcomes, random crashes.

use std::sync::{Arc, Mutex};

use futures::executor::block_on;
use proptest::prelude::*;
use serde_json::Value;
use uuid::Uuid;

use super::*;
use crate::kit::{Crash, Memory, Script, legal};

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// What comes of the next call, until there are no more; then everything goes well.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Well,
    Refused,
    Again,
    Stuck,
    Crash,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        5 => Just(Fate::Well),
        1 => Just(Fate::Refused),
        2 => Just(Fate::Again),
        1 => Just(Fate::Stuck),
        2 => Just(Fate::Crash),
    ]
}

/// The scripted store with a fate for every call, and with appends that may be the last.
struct Fated {
    memory: Memory,
    fates: Mutex<Vec<Fate>>,
}

impl Fated {
    fn next(&self) -> Fate {
        self.fates.lock().expect("fates").pop().unwrap_or(Fate::Well)
    }
}

impl Store for Fated {
    type Error = Crash;

    async fn append(&self, write: &Write) -> Result<Option<i64>, Crash> {
        let written = self.memory.append(write).await?;
        // The write happened, but nobody heard of it.
        if matches!(self.next(), Fate::Crash) { Err(Crash) } else { Ok(written) }
    }

    async fn act(&self, _: &'static str, action: &Work<'_, Outcome>) -> Result<Outcome, Crash> {
        let outcome = action().await;
        Ok(match self.next() {
            Fate::Well => outcome,
            Fate::Refused => Outcome::refused("fate"),
            Fate::Again => Outcome::unknown("fate"),
            Fate::Stuck => Outcome::stuck("fate"),
            Fate::Crash => return Err(Crash),
        })
    }

    async fn undo(&self, _: &'static str, undo: &Work<'_, Undone>) -> Result<Undone, Crash> {
        let undone = undo().await;
        Ok(match self.next() {
            Fate::Well => undone,
            Fate::Refused | Fate::Again | Fate::Stuck => Undone::not_yet("fate"),
            Fate::Crash => return Err(Crash),
        })
    }
}

fn definition(undos: &[bool]) -> Definition {
    let ran = async |(), call: Call| Outcome::Done(Value::from(call.key.to_string()));
    undos.iter().zip(NAMES).fold(Definition::<()>::new("random", 1).undo_tries_max(3), |list, (has_undo, name)| {
        if *has_undo { list.step(name, ran, async |(), _| Undone::Done) } else { list.step_without_undo(name, ran) }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn every_saga_ends_by_a_legal_log(
        undos in prop::collection::vec(any::<bool>(), 1..6),
        fates in prop::collection::vec(fate(), 0..40),
        orders in any::<bool>(),
    ) {
        let definition = definition(&undos);
        let shape = definition.shape().clone();
        let memory = Memory::new(shape.clone(), Script::default());
        let store = Fated { memory, fates: Mutex::new(fates) };
        let mut left = None;
        for _ in 0..200 {
            let (attempt, tries, log) = store.memory.take();
            let at_hand = plan(&shape, &log).expect("a log");
            let (subject, data) = (Arc::from(""), Arc::new(Value::Null));
            let mut saga = Instance { id: Uuid::nil(), subject, data, started_ms: 1, attempt, tries, log };
            match block_on(drive(&definition, &mut saga, &store)) {
                Ok(Left::At(State::Stuck)) => {
                    let plan = plan(&shape, &saga.log).expect("a log");
                    let why = "an operator".to_owned();
                    let order = orders && matches!(plan.next, Next::Act(_));
                    store.memory.operate(if order { Event::Ordered(why) } else { Event::Retried(why) });
                }
                Ok(Left::At(state)) => {
                    left = Some(state);
                    break;
                }
                Ok(Left::Waiting) | Err(DriveError::Store(Crash)) => {}
                other => prop_assert!(false, "{:?} from {:?}", other, at_hand),
            }
        }
        let log = store.memory.log();
        prop_assert!(left.is_some_and(State::is_ended), "{:?} after {:?}", left, log);
        prop_assert_eq!(legal(&shape, &log), Ok(()), "{:?}", log);
    }

    #[test]
    fn a_stale_attempt_writes_nothing(undos in prop::collection::vec(any::<bool>(), 1..6)) {
        let definition = definition(&undos);
        let memory = Memory::new(definition.shape().clone(), Script::default());
        let (attempt, tries, log) = memory.take();
        memory.take();
        let (subject, data) = (Arc::from(""), Arc::new(Value::Null));
        let mut stale = Instance { id: Uuid::nil(), subject, data, started_ms: 1, attempt, tries, log };
        let left = block_on(drive(&definition, &mut stale, &memory));
        prop_assert!(matches!(left, Ok(Left::Lost)), "{:?}", left);
        prop_assert!(memory.log().is_empty() && stale.log.is_empty());
    }
}
