//! What goes wrong around a batch: a full queue, an offending row, a lock that does not come free.

use std::time::{Duration, Instant};

use kernel::{OfferId, UserId};
use orderlog::Rules;
use platform::admission::{ClaimRequest, Claimed, HandChange, Limits};
use platform::db::{DbError, DbOptions, Kind, Query, args};
use platform::http::Problem;
use sqlx::{Connection, Executor, SqliteConnection};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::books::balanced;
use crate::support::shop::{POISON, Shop, code, people, rules, told};
use crate::support::site::{Site, databases, postgres};
use crate::support::wait::until_so;

const SOON: Duration = Duration::from_secs(20);

/// Keeps every batch of the offer waiting until it is let go.
struct Held {
    go: oneshot::Sender<()>,
    writing: JoinHandle<()>,
}

impl Held {
    async fn take(shop: &Shop, offer: OfferId) -> Held {
        let (go, gone) = oneshot::channel::<()>();
        let (held, holding) = oneshot::channel::<()>();
        let db = shop.db.clone();
        let writing = tokio::spawn(async move {
            let held = db.write(|tx| {
                Box::pin(async move {
                    tx.run("UPDATE offer SET waiting = waiting WHERE id = $1", args![offer.0]).await?;
                    held.send(()).unwrap();
                    gone.await.unwrap();
                    Ok::<_, DbError>(())
                })
            });
            held.await.unwrap();
        });
        holding.await.unwrap();
        Held { go, writing }
    }

    async fn let_go(self) {
        self.go.send(()).unwrap();
        self.writing.await.unwrap();
    }
}

type Click = JoinHandle<Result<Claimed, Problem>>;

fn click(shop: &Shop, offer: OfferId, tag: &str) -> Click {
    let (shop, tag) = (shop.clone(), tag.into());
    let request = ClaimRequest { tag, ..shop.request(UserId::fresh(), "10k:1") };
    tokio::spawn(async move { shop.admission.claim(offer, request).await })
}

async fn answers(clicks: Vec<Click>) -> (Vec<Claimed>, Vec<Problem>) {
    let (mut placed, mut problems) = (Vec::new(), Vec::new());
    for click in clicks {
        match click.await.unwrap() {
            Ok(claimed) => placed.push(claimed),
            Err(problem) => problems.push(problem),
        }
    }
    (placed, problems)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_answers_at_once_and_takes_nothing() {
    databases(queue_full).await;
}

async fn queue_full(site: &Site) {
    // So short that one full batch ahead is too many.
    let limits = Limits { wait_max: Duration::from_millis(1), queued_max: SOON };
    let shop = Shop::open_with(site, limits).await;
    let offer = shop.sell(rules(&shop, &[("10k", 4_000)])).await;
    let held = Held::take(&shop, offer).await;
    let clicks: Vec<Click> = (0..3_000).map(|_| click(&shop, offer, "plain")).collect();
    // Whoever hears anything while nothing can be decided hears that it is full.
    let heard = async || clicks.iter().filter(|click| click.is_finished()).count() > 1_900;
    until_so("the queue was full", SOON, heard).await;
    held.let_go().await;

    let (placed, problems) = answers(clicks).await;
    assert!(problems.len() > 1_900 && placed.len() >= 500, "{} placed", placed.len());
    for problem in &problems {
        assert_eq!((problem.status(), problem.code.code), (503, "admission/busy"));
        assert!(problem.retry_after_ms.is_some_and(|ms| ms >= 200), "{problem:?}");
    }
    assert_eq!(balanced(&shop, offer).await.claims.len(), placed.len(), "who heard busy has nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_time_does_not_make_a_burst_look_hopeless() {
    databases(burst_after_quiet).await;
}

/// Single claims take about as long as full batches; the wait is counted in batches.
async fn burst_after_quiet(site: &Site) {
    let shop =
        Shop::open_with(site, Limits { wait_max: Duration::from_secs(1), queued_max: Duration::from_secs(60) }).await;
    let offer = shop.sell(rules(&shop, &[("10k", 2_000)])).await;
    let held = Held::take(&shop, offer).await;
    let slow = click(&shop, offer, "plain");
    let since = Instant::now();
    until_so("a batch of one took long", SOON, async || since.elapsed() > Duration::from_millis(700)).await;
    held.let_go().await;
    slow.await.unwrap().unwrap();
    let answers = shop.crowd(offer, &people(1_500), "10k:1").await;
    let busy = answers.iter().filter(|answer| answer.is_err()).count();
    assert_eq!(busy, 0, "three batches are no long wait");
    balanced(&shop, offer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_queued_too_long_is_dropped_untaken() {
    databases(queued_too_long).await;
}

async fn queued_too_long(site: &Site) {
    let queued_max = Duration::from_millis(100);
    let shop = Shop::open_with(site, Limits { wait_max: SOON, queued_max }).await;
    let offer = shop.sell(rules(&shop, &[("10k", 1_000)])).await;
    let held = Held::take(&shop, offer).await;
    let clicks: Vec<Click> = (0..600).map(|_| click(&shop, offer, "plain")).collect();
    // At most one full batch was taken in time. The others hear it while that hangs: no lock times out so early.
    let heard = async || clicks.iter().filter(|click| click.is_finished()).count() >= 100;
    until_so("who is queued too long hears it", Duration::from_millis(1_500), heard).await;
    held.let_go().await;
    let (placed, problems) = answers(clicks).await;
    assert!(problems.iter().all(|problem| problem.code.code == "admission/busy"));
    assert_eq!(balanced(&shop, offer).await.claims.len(), placed.len());
    assert!(shop.claim(offer, UserId::fresh(), "10k:1").await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_offending_row_fails_alone() {
    databases(poisoned).await;
}

async fn poisoned(site: &Site) {
    let shop = Shop::open(site).await;
    let offer = shop.sell(rules(&shop, &[("10k", 300)])).await;
    // What PostgreSQL cannot store at all offends as well as what the schema forbids.
    let offending: &[&str] = shop.db.pick(&[POISON], &[POISON, "with\0NUL"]);
    let held = Held::take(&shop, offer).await;
    let mut clicks: Vec<Click> = (0..120).map(|_| click(&shop, offer, "plain")).collect();
    clicks.extend(offending.iter().map(|tag| click(&shop, offer, tag)));
    clicks.extend((0..120).map(|_| click(&shop, offer, "plain")));
    held.let_go().await;
    let (placed, problems) = answers(clicks).await;
    assert_eq!((placed.len(), problems.len()), (240, offending.len()));
    for problem in &problems {
        assert_eq!((problem.status(), problem.code.code), (500, "http/internal"));
    }
    let books = balanced(&shop, offer).await;
    assert_eq!(books.report.claims, 240, "the offending ones have no numbers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_logged_refusals_only_refusals_lose_their_numbers() {
    databases(refusals_max).await;
}

async fn refusals_max(site: &Site) {
    let shop = Shop::open(site).await;
    let offer = shop.sell(Rules { refusals_logged_max: 10, ..rules(&shop, &[("10k", 5)]) }).await;
    let people = people(60);
    let answers = shop.crowd(offer, &people, "10k:1").await;
    let refused: Vec<&Problem> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    let numbered = refused.iter().filter(|problem| told(problem).0.is_some()).count();
    assert_eq!((refused.len(), numbered), (55, 10));
    assert!(refused.iter().all(|problem| told(problem).0.is_some() == told(problem).1.is_some()));

    let more = HandChange { pool: Some("10k".to_owned()), capacity: Some(20), ..HandChange::default() };
    shop.hand(offer, more).await.unwrap();
    let again = shop.crowd(offer, &people, "10k:1").await;
    let mut numbers: Vec<u64> = again.iter().flatten().map(|claimed| claimed.claim.seq).collect();
    numbers.sort_unstable();
    assert_eq!(numbers.len(), 20);
    assert_eq!(numbers[5..], (16..=30).collect::<Vec<u64>>(), "places are numbered without gaps");
    for (before, after) in answers.iter().zip(&again) {
        if let (Err(before), Err(after)) = (before, after) {
            assert_eq!(told(before), told(after));
        }
    }
    assert_eq!(balanced(&shop, offer).await.refusals.len(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_does_not_come_free_is_a_503() {
    databases(locked).await;
}

async fn locked(site: &Site) {
    let shop = Shop::open(site).await;
    let offer = shop.sell(rules(&shop, &[("10k", 2)])).await;
    let before = shop.claim(offer, UserId::fresh(), "10k:1").await.unwrap();
    let (busy, within) = match site.options() {
        DbOptions::Sqlite { dir } => {
            let file = format!("sqlite://{}", dir.join("shop.db").display());
            let mut other = SqliteConnection::connect(&file).await.unwrap();
            other.execute("BEGIN IMMEDIATE").await.unwrap();
            let busy = timed_crowd(&shop, offer).await;
            other.execute("ROLLBACK").await.unwrap();
            (busy, Duration::from_secs(15))
        }
        DbOptions::Postgres { .. } => {
            let mut other = site.stranger().await;
            other.execute("BEGIN; SELECT 1 FROM shop.offer FOR UPDATE").await.unwrap();
            let busy = timed_crowd(&shop, offer).await;
            other.execute("ROLLBACK").await.unwrap();
            (busy, Duration::from_secs(6))
        }
    };
    assert!(busy < within, "503 came only after {busy:?}");
    let after = shop.claim(offer, UserId::fresh(), "10k:1").await.unwrap();
    assert_eq!((before.claim.seq, after.claim.seq), (1, 2), "nothing was taken in between");
    assert_eq!(balanced(&shop, offer).await.leaves.len(), 3);
}

/// Everybody hears 503; answers how long that took.
async fn timed_crowd(shop: &Shop, offer: OfferId) -> Duration {
    let since = Instant::now();
    for answer in shop.crowd(offer, &people(20), "10k:1").await {
        let problem = answer.unwrap_err();
        assert_eq!((problem.status(), problem.code.code), (503, "admission/busy"));
        assert!(problem.retry_after_ms.is_some());
    }
    since.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_killed_under_load_lose_nothing_that_was_told() {
    postgres(killed).await;
}

async fn killed(site: &Site) {
    let shop = Shop::open(site).await;
    let offer = shop.sell(rules(&shop, &[("10k", 150)])).await;
    let mut other = site.stranger().await;
    let mut heard = Vec::new();
    let mut away = 0;
    for _ in 0..12 {
        let crowd = people(60);
        let clicks = {
            let shop = shop.clone();
            tokio::spawn(async move { (shop.crowd(offer, &crowd, "10k:1").await, crowd) })
        };
        let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        other.execute(kill).await.unwrap();
        let (answers, crowd) = clicks.await.unwrap();
        for (answer, user) in answers.into_iter().zip(crowd) {
            match answer {
                Ok(claimed) => heard.push((user, Ok(claimed.claim.id))),
                Err(problem) if problem.status() == 503 => away += 1,
                Err(problem) => heard.push((user, Err(told(&problem)))),
            }
        }
    }
    assert!(away > 0, "no connection was cut in time");
    for (user, before) in heard {
        let again =
            shop.claim(offer, user, "10k:1").await.map(|claimed| claimed.claim.id).map_err(|problem| told(&problem));
        assert_eq!(again, before);
    }
    balanced(&shop, offer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_that_is_not_there_is_not_found() {
    databases(no_offer).await;
}

async fn no_offer(site: &Site) {
    let shop = Shop::open(site).await;
    let offer = OfferId::fresh();
    assert_eq!(code(shop.claim(offer, UserId::fresh(), "10k:1").await), "admission/not-found");
    assert_eq!(code(shop.assign(offer, UserId::fresh(), "10k:1").await), "admission/not-found");
    assert_eq!(code(shop.hand(offer, HandChange::default()).await), "admission/not-found");
    assert!(shop.admission.receipt(offer, 0).await.unwrap().is_none());
    assert_eq!(shop.db.kind() == Kind::Sqlite, site.dir.is_some());
}
