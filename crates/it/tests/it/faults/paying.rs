//! kill -9 among whole registrations with payments and leavings: everything comes to its end by itself, and nobody
//! who paid is left without a place or his money.

use std::net::TcpListener;
use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::accounts::Accounts;
use super::process::Home;
use super::runners::{Runners, until_over};
use crate::support::site::{Site, databases, postgres};

const PEOPLE_A_ROUND: usize = 40;
/// About what one of them asks on his way.
const ANSWERS_EACH: usize = 8;
/// After the answer that decides the moment; a batch takes some milliseconds.
const LATER_US_MAX: u64 = 15_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_every_registration_comes_to_its_end() {
    databases(rounds).await;
}

async fn rounds(site: &Site) {
    let rounds = if std::env::var_os("MADANG_TEST_LONG").is_some() { 50 } else { 2 };
    let mut random = random();
    let home = Home::on(site);
    let mut yard = home.serve().await;
    let admin = home.admin(&yard, "boss").await;
    let people = rounds * PEOPLE_A_ROUND;
    let runners = Runners::gather(&yard, &admin, people as u32, (people * 3 / 4) as u32).await;
    Accounts::open(site, &home, home.data()).await.give_back().await;
    let mut cut_off = 0;
    for round in 0..rounds {
        let admin = yard.login("boss").await;
        // Whoever was cut off before goes on, beside those who are new.
        let mut going = runners.go(&yard, &admin, 0..(round + 1) * PEOPLE_A_ROUND);
        going.answered(random.random_range(1..PEOPLE_A_ROUND * ANSWERS_EACH)).await;
        // Not a wait for anything: the moment itself is to be any.
        tokio::time::sleep(Duration::from_micros(random.random_range(0..LATER_US_MAX))).await;
        yard.kill().await;
        cut_off += going.end().await;
        yard = home.serve().await;
        let admin = yard.login("boss").await;
        Accounts::open(site, &home, home.data()).await.settle(&yard, &admin, &runners).await;
    }
    assert!(cut_off > 0, "the kills came too late");
    let admin = yard.login("boss").await;
    assert_eq!(runners.go(&yard, &admin, 0..people).end().await, 0, "nobody is cut off any more");
    until_over(&runners).await;
    Accounts::open(site, &home, home.data()).await.settle(&yard, &admin, &runners).await;
    eprintln!("{cut_off} were cut off in {rounds} rounds");
    assert!(yard.terminate().await.success());
}

fn random() -> StdRng {
    let seed: u64 = rand::random();
    eprintln!("seed {seed}");
    StdRng::seed_from_u64(seed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_killed_for_good_the_other_ends_every_registration() {
    postgres(the_other_ends_all).await;
}

async fn the_other_ends_all(site: &Site) {
    let sandbox_home = Home::new().with("MADANG__PAYMENTS__SANDBOX__KEY", SHARED_KEY);
    let sandbox = sandbox_home.sandbox().await;
    // The provider tells the one that stays, as it would tell whatever stands before both.
    let port = free_port().to_string();
    let home = || {
        Home::on(site)
            .with("MADANG__PAYMENTS__SANDBOX__KEY", SHARED_KEY)
            .with("MADANG__PAYMENTS__SANDBOX__URL", &sandbox.url())
            .with("MADANG__PAYMENTS__WEBHOOK_URL", &format!("http://127.0.0.1:{port}"))
    };
    let (home_a, home_b) = (home(), home());
    let a = home_a.serve().await;
    let admin = home_a.admin(&a, "boss").await;
    let b = home_b.serve_by(home_b.command(["serve", "--port", &port])).await;
    let people = 2 * PEOPLE_A_ROUND;
    let runners = Runners::gather(&a, &admin, people as u32, (people * 3 / 4) as u32).await;
    Accounts::open(site, &home_b, sandbox_home.data()).await.give_back().await;
    let mut at_a = runners.go(&a, &admin, 0..PEOPLE_A_ROUND);
    let at_b = runners.go(&b, &admin, PEOPLE_A_ROUND..people);
    at_a.answered(random().random_range(PEOPLE_A_ROUND..PEOPLE_A_ROUND * ANSWERS_EACH * 3 / 4)).await;
    a.kill().await;
    // Those at the other one go on while it takes over; then it is alone with what is left.
    let (cut_off, unserved) = tokio::join!(at_a.end(), at_b.end());
    assert!(cut_off > 0, "it was killed after everybody was served");
    assert_eq!(unserved, 0, "the other one serves all its people");
    Accounts::open(site, &home_b, sandbox_home.data()).await.settle(&b, &admin, &runners).await;
    assert_eq!(runners.go(&b, &admin, 0..people).end().await, 0, "and those of the killed one");
    until_over(&runners).await;
    Accounts::open(site, &home_b, sandbox_home.data()).await.settle(&b, &admin, &runners).await;
    assert!(b.terminate().await.success());
}

const SHARED_KEY: &str = "what the yard and the sandbox share";

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
