//! Events from outbox to consumer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kernel::UserId;
use kernel::contracts::Event;
use platform::db::{Db, DbError, Migration, Query, args};
use platform::events::{ConsumeError, Consumer, drained, publish, publish_all, release_parked, run};
use platform::service::migrate_context;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::site::{Site, databases, postgres};
use crate::support::wait::until_so;

const SOON: Duration = Duration::from_secs(20);
const HEARD: Migration = Migration {
    name: "events_0001_heard",
    sql: "CREATE TABLE heard (n AUTO_ID, consumer TEXT NOT NULL, about TEXT NOT NULL, text TEXT NOT NULL CHECK (text <> 'forbidden')) STRICT;",
};

#[derive(Serialize, Deserialize)]
struct Noted {
    about: String,
    text: String,
}

impl Event for Noted {
    const KIND: &'static str = "test.noted";
    const VERSION: u32 = 1;
    fn key(&self) -> String {
        self.about.clone()
    }
}

fn noted(about: &str, text: &str) -> Noted {
    Noted { about: about.to_owned(), text: text.to_owned() }
}

async fn open(site: &Site) -> Db {
    let db = site.open("events").await;
    migrate_context(&db, &[HEARD]).await.unwrap();
    db
}

/// Writes down what it hears; refuses the text "bad" until it is mended.
fn listener(db: &Db, name: &'static str, mended: &Arc<AtomicBool>) -> Consumer {
    let mended = mended.clone();
    Consumer::new(name, &[Noted::KIND], db.clone(), move |tx, event| {
        let mended = mended.load(Ordering::SeqCst);
        Box::pin(async move {
            let noted: Noted = event.read()?;
            if noted.text == "bad" && !mended {
                return Err(ConsumeError::Poison("it is bad".to_owned()));
            }
            let text = if mended { noted.text.replace("forbidden", "mended") } else { noted.text };
            tx.run("INSERT INTO heard (consumer, about, text) VALUES ($1, $2, $3)", args![name, noted.about, text])
                .await?;
            Ok(())
        })
    })
}

async fn say(db: &Db, event: Noted) {
    db.write(|tx| Box::pin(async move { publish(tx, &event, Some(UserId::fresh())).await })).await.unwrap();
}

/// Everything a consumer heard about something, in order.
async fn heard(db: &Db, consumer: &str, about: &str) -> Vec<String> {
    let sql = "SELECT text FROM heard WHERE consumer = $1 AND about = $2 ORDER BY n";
    db.all::<(String,)>(sql, args![consumer, about]).await.unwrap().into_iter().map(|row| row.0).collect()
}

async fn parked(db: &Db) -> i64 {
    db.one::<(i64,)>("SELECT count(*) FROM parked", args![]).await.unwrap().unwrap().0
}

/// Delivery as one process runs it.
struct Delivery {
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Delivery {
    fn start(source: &Db, consumers: &[Consumer]) -> Delivery {
        let stop = CancellationToken::new();
        let running = tokio::spawn(run(source.clone(), consumers.to_vec(), stop.clone()));
        Delivery { stop, running }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.running.await.unwrap();
    }
}

async fn all_taken(db: &Db, consumers: &[Consumer]) {
    until_so("all events were taken", SOON, async || drained(db, consumers).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_consumer_hears_every_event_once_and_in_order() {
    databases(once_in_order).await;
}

async fn once_in_order(site: &Site) {
    // Two processes that deliver, several that write.
    let (a, b) = (open(site).await, open(site).await);
    let mended = Arc::new(AtomicBool::new(true));
    let consumers = |db: &Db| [listener(db, "first", &mended), listener(db, "second", &mended)];
    let deliveries = [Delivery::start(&a, &consumers(&a)), Delivery::start(&b, &consumers(&b))];
    let writers = (0..4).map(|writer| {
        let db = if writer % 2 == 0 { a.clone() } else { b.clone() };
        tokio::spawn(async move {
            for n in 0..60 {
                say(&db, noted(&format!("key {writer}"), &n.to_string())).await;
            }
        })
    });
    futures::future::join_all(writers).await.into_iter().for_each(Result::unwrap);
    all_taken(&a, &consumers(&a)).await;
    for delivery in deliveries {
        delivery.stop().await;
    }
    let all: Vec<String> = (0..60).map(|n| n.to_string()).collect();
    for consumer in ["first", "second"] {
        for writer in 0..4 {
            assert_eq!(heard(&a, consumer, &format!("key {writer}")).await, all, "{consumer}, writer {writer}");
        }
    }
    // Who starts again finds nothing to do.
    let consumers = consumers(&a);
    let delivery = Delivery::start(&a, &consumers);
    say(&a, noted("key 0", "last")).await;
    all_taken(&a, &consumers).await;
    delivery.stop().await;
    assert_eq!(heard(&a, "first", "key 0").await.len(), 61);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_commits_after_a_later_one_is_not_missed() {
    postgres(out_of_order).await;
}

async fn out_of_order(site: &Site) {
    let db = open(site).await;
    let consumers = [listener(&db, "only", &Arc::new(AtomicBool::new(true)))];
    let delivery = Delivery::start(&db, &consumers);
    let (written, early) = oneshot::channel::<()>();
    let (go, gone) = oneshot::channel::<()>();
    let slow = {
        let db = db.clone();
        tokio::spawn(async move {
            let slow = db.write(|tx| {
                Box::pin(async move {
                    publish(tx, &noted("x", "earlier id"), None).await?;
                    written.send(()).unwrap();
                    gone.await.unwrap();
                    Ok::<_, DbError>(())
                })
            });
            slow.await.unwrap();
        })
    };
    early.await.unwrap();
    say(&db, noted("x", "later id")).await;
    until_so("the later one was heard", SOON, async || heard(&db, "only", "x").await == ["later id"]).await;
    all_taken(&db, &consumers).await;
    go.send(()).unwrap();
    slow.await.unwrap();
    until_so("the earlier one was heard", SOON, async || heard(&db, "only", "x").await == ["later id", "earlier id"])
        .await;
    let ids = db.all::<(i64, String)>("SELECT id, payload FROM outbox ORDER BY id", args![]).await.unwrap();
    assert!(ids[0].1.contains("earlier id") && ids[1].1.contains("later id"), "{ids:?}");
    delivery.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poisonous_event_is_parked_and_only_its_key_waits() {
    databases(poison).await;
}

async fn poison(site: &Site) {
    let db = open(site).await;
    let mended = Arc::new(AtomicBool::new(false));
    let consumers = [listener(&db, "only", &mended), listener(&db, "calm", &Arc::new(AtomicBool::new(true)))];
    // All in one run: two keys with a poison of each kind, one without.
    let events =
        [("a", "1"), ("b", "1"), ("a", "bad"), ("b", "forbidden"), ("c", "1"), ("a", "2"), ("b", "2"), ("c", "2")];
    let events: Vec<Noted> = events.iter().map(|(about, text)| noted(about, text)).collect();
    let published: Result<(), DbError> =
        db.write(|tx| Box::pin(async move { publish_all(tx, &events, None).await })).await;
    published.unwrap();
    let delivery = Delivery::start(&db, &consumers);
    until_so("the poison was parked", SOON, async || parked(&db).await >= 4).await;
    say(&db, noted("a", "3")).await;
    say(&db, noted("c", "3")).await;
    all_taken(&db, &consumers).await;
    assert_eq!(parked(&db).await, 5, "what follows on a parked key waits behind it");
    assert_eq!(heard(&db, "only", "a").await, ["1"]);
    assert_eq!(heard(&db, "only", "c").await, ["1", "2", "3"], "other keys go on");
    assert_eq!(heard(&db, "calm", "a").await, ["1", "bad", "2", "3"], "other consumers go on");
    let reasons =
        db.all::<(String, String)>("SELECT key, reason FROM parked ORDER BY key, event_id", args![]).await.unwrap();
    assert!(reasons[0].1.contains("it is bad"), "{reasons:?}");

    let too_early = release_parked(&consumers[0], "a").await;
    assert!(too_early.is_err(), "it is still bad");
    assert_eq!((parked(&db).await, heard(&db, "only", "a").await.len()), (5, 1), "a vain try changes nothing");
    mended.store(true, Ordering::SeqCst);
    assert_eq!(release_parked(&consumers[0], "a").await.unwrap(), 3);
    assert_eq!(release_parked(&consumers[0], "b").await.unwrap(), 2);
    assert_eq!(release_parked(&consumers[0], "c").await.unwrap(), 0);
    say(&db, noted("a", "4")).await;
    all_taken(&db, &consumers).await;
    assert_eq!(heard(&db, "only", "a").await, ["1", "bad", "2", "3", "4"]);
    assert_eq!(heard(&db, "only", "b").await, ["1", "mended", "2"]);
    delivery.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_of_a_change_that_failed_was_never_said() {
    databases(rolled_back).await;
}

async fn rolled_back(site: &Site) {
    let db = open(site).await;
    let failed = db.write(|tx| {
        Box::pin(async move {
            publish(tx, &noted("x", "never"), None).await?;
            Err::<(), _>(DbError::Missing)
        })
    });
    assert!(failed.await.is_err());
    let consumers = [listener(&db, "only", &Arc::new(AtomicBool::new(true)))];
    let delivery = Delivery::start(&db, &consumers);
    say(&db, noted("x", "said")).await;
    all_taken(&db, &consumers).await;
    delivery.stop().await;
    assert_eq!(heard(&db, "only", "x").await, ["said"]);
}
