//! Sagas on every database there is, with steps that do what a test says.

mod leases;
mod operating;
mod running;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Call, Definition, MIGRATION, Outcome, Pace, SagaBody, Sagas, Start, State, Undone};
use crate::db::{Clock, Db, DbError, DbOptions, Query, args, open};
use crate::service::migrate_context;

/// What comes of the next call of a step; then everything goes well.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Well,
    Refused,
    Unknown,
    Stuck,
    Panics,
    /// Says nothing until [`World::open_gate`], then is well.
    Hangs,
    /// The same, then does not know.
    HangsUnknown,
}

/// What the steps leave, and what they were called for.
#[derive(Clone)]
struct World(Arc<Mutex<Things>>, Arc<Semaphore>);

#[derive(Default)]
struct Things {
    kept: BTreeSet<(Uuid, &'static str)>,
    calls: Vec<(Uuid, String)>,
    at_work: HashMap<Uuid, u32>,
    met: bool,
    fates: BTreeMap<(Uuid, String), VecDeque<Fate>>,
}

impl World {
    fn things(&self) -> MutexGuard<'_, Things> {
        self.0.lock().expect("a world")
    }

    /// What comes of the next calls of `step`, or of `undo <step>`.
    fn fates(&self, saga: Uuid, step: &str, fates: &[Fate]) {
        self.things().fates.insert((saga, step.to_owned()), fates.iter().copied().collect());
    }

    fn open_gate(&self) {
        self.1.close();
    }

    fn calls(&self, saga: Uuid) -> Vec<String> {
        self.things().calls.iter().filter(|(of, _)| *of == saga).map(|(_, step)| step.clone()).collect()
    }

    /// What is left of a saga's steps.
    fn kept(&self, saga: Uuid) -> Vec<&'static str> {
        self.things().kept.iter().filter(|(of, _)| *of == saga).map(|(_, step)| *step).collect()
    }

    /// One call: two of the same saga at once are noted.
    async fn call(&self, saga: Uuid, step: String) -> Fate {
        let fate = {
            let mut things = self.things();
            things.calls.push((saga, step.clone()));
            let fate = things.fates.get_mut(&(saga, step)).and_then(VecDeque::pop_front).unwrap_or(Fate::Well);
            let at_work = things.at_work.entry(saga).or_default();
            *at_work += 1;
            let met = *at_work > 1;
            things.met |= met;
            fate
        };
        tokio::task::yield_now().await;
        if matches!(fate, Fate::Hangs | Fate::HangsUnknown) {
            self.1.acquire().await.expect_err("opened by closing");
        }
        self.things().at_work.entry(saga).and_modify(|count| *count -= 1);
        fate
    }
}

async fn act(world: World, call: Call) -> Outcome {
    match world.call(call.saga, call.step.to_owned()).await {
        Fate::Well | Fate::Hangs => {}
        Fate::Refused => return Outcome::refused("fate"),
        Fate::Unknown | Fate::HangsUnknown => return Outcome::unknown("fate"),
        Fate::Stuck => return Outcome::stuck("fate"),
        Fate::Panics => panic!("fate"),
    }
    world.things().kept.insert((call.saga, call.step));
    Outcome::Done(json!({ "by": call.key }))
}

async fn undo(world: World, call: Call) -> Undone {
    match world.call(call.saga, format!("undo {}", call.step)).await {
        Fate::Well | Fate::Hangs => {}
        Fate::Panics => panic!("fate"),
        _ => return Undone::not_yet("fate"),
    }
    world.things().kept.remove(&(call.saga, call.step));
    Undone::Done
}

async fn look(world: World, call: Call) -> Outcome {
    let earlier: Result<Value, _> = call.result("place");
    if earlier.is_ok_and(|value| value["by"].is_string()) && *call.subject == *"somebody" && call.data["n"] == 7 {
        return act(world, call).await;
    }
    Outcome::stuck("it was not told what it must know")
}

fn order(version: u32) -> Definition<World> {
    Definition::new("order", version)
        .step("place", act, undo)
        .step("payment", act, undo)
        .step_without_undo("notice", look)
        .undo_tries_max(3)
}

/// A database with saga tables, and a world.
struct Bed {
    db: Db,
    world: World,
    _dir: tempfile::TempDir,
}

impl Bed {
    /// One per database: SQLite always, PostgreSQL where a test server is named.
    async fn all() -> Vec<Bed> {
        let mut beds = vec![Self::open(None).await];
        if let Ok(url) = std::env::var("MADANG_TEST_POSTGRES_URL") {
            beds.push(Self::open(Some(url)).await);
        }
        beds
    }

    async fn open(postgres: Option<String>) -> Bed {
        let dir = tempfile::tempdir().expect("a directory");
        let options = match postgres {
            Some(url) => DbOptions::Postgres { url },
            None => DbOptions::Sqlite { dir: dir.path().to_owned() },
        };
        // A schema of its own, since tests run side by side.
        let name: &'static str = format!("saga_{}", Uuid::new_v4().simple()).leak();
        let db = open(name, &options, &Clock::default()).await.expect("the database opens");
        migrate_context(&db, &[MIGRATION]).await.expect("the tables are made");
        Bed { db, world: World(Arc::default(), Arc::new(Semaphore::new(0))), _dir: dir }
    }

    /// One process's sagas, with its definitions.
    fn sagas(&self, pace: Pace, definitions: &[Definition<World>]) -> Sagas {
        let sagas = Sagas::with_pace(self.db.clone(), pace);
        sagas.define(definitions.iter().map(|one| one.clone().bind(self.world.clone())));
        sagas
    }

    fn usual(&self) -> Sagas {
        self.sagas(Pace::default(), &[order(1)])
    }

    async fn start(&self, sagas: &Sagas) -> Uuid {
        let id = Uuid::now_v7();
        assert!(start_as(&self.db, sagas, id).await);
        id
    }

    async fn logged(&self, sagas: &Sagas, id: Uuid) -> Vec<String> {
        let log = sagas.log(id).await.expect("a log");
        log.into_iter().map(|line| format!("{} {}", line.step, line.event)).collect()
    }

    async fn run(&self, sql: &'static str, id: Uuid) {
        let ran = self.db.write(move |tx| Box::pin(async move { tx.run(sql, args![id]).await }));
        assert_eq!(ran.await.expect("a statement"), 1);
    }
}

async fn start_as(db: &Db, sagas: &Sagas, id: Uuid) -> bool {
    let start = Start { name: "order", id, subject: "somebody".to_owned(), data: json!({ "n": 7 }), after_ms: 0 };
    let starting = sagas.clone();
    let started = db.write(move |tx| Box::pin(async move { starting.start(tx, &start).await }));
    started.await.unwrap_or_else(|error: DbError| panic!("{error:?}"))
}

/// An executor until it is dropped.
struct Process {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Process {
    fn of(sagas: &Sagas) -> Process {
        let stop = CancellationToken::new();
        Process { task: tokio::spawn(sagas.clone().run(stop.clone())), stop }
    }

    /// Ends it as a shutdown does.
    async fn end(mut self) {
        self.stop.cancel();
        (&mut self.task).await.expect("it ended");
    }
}

/// Kills it as a crash does.
impl Drop for Process {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Polls until it is true.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !is_so().await {
        assert!(Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn found(sagas: &Sagas, id: Uuid) -> SagaBody {
    sagas.find(id).await.expect("an answer").expect("a saga")
}

async fn ends(sagas: &Sagas, id: Uuid, state: State) -> SagaBody {
    until(state.as_str(), async || found(sagas, id).await.state() == Some(state)).await;
    found(sagas, id).await
}
