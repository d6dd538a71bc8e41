//! kill -9 at a random moment of a burst, again and again: what was said stands, and the books balance.

use std::process::Stdio;
use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::crowd::Crowd;
use super::process::{Home, SERVE};
use crate::support::site::{Site, databases};

const PEOPLE_A_ROUND: usize = 100;
/// After the answer that decides the moment; a batch takes some milliseconds.
const LATER_US_MAX: u64 = 15_000;
/// About what a start takes.
const START_US_MAX: u64 = 300_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_a_yard_keeps_its_word() {
    databases(rounds).await;
}

async fn rounds(site: &Site) {
    let rounds = if std::env::var_os("MADANG_TEST_LONG").is_some() { 50 } else { 8 };
    let seed: u64 = rand::random();
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let home = Home::on(site);
    let mut yard = home.serve().await;
    let admin = home.admin(&yard, "boss").await;
    let people = rounds * PEOPLE_A_ROUND;
    // Sold out in the middle of a round, so that some rounds grant, some refuse and one does both.
    let capacity = people / 2 - PEOPLE_A_ROUND / 2;
    let mut crowd = Crowd::gather(&yard, &admin, people as u32, capacity as u32).await;
    let (mut answered, mut cut_off) = (0, 0);
    for round in 0..rounds {
        let those = round * PEOPLE_A_ROUND..(round + 1) * PEOPLE_A_ROUND;
        let mut burst = crowd.burst(&yard, those.clone());
        burst.answered(random.random_range(1..PEOPLE_A_ROUND)).await;
        // Not a wait for anything: the moment itself is to be any.
        tokio::time::sleep(Duration::from_micros(random.random_range(0..LATER_US_MAX))).await;
        yard.kill().await;
        let answers = burst.end().await;
        answered += answers.len();
        cut_off += PEOPLE_A_ROUND - answers.len();
        crowd.remember(answers);
        yard = home.serve().await;
        crowd.check(&yard).await;
        crowd.ask(&yard, those).await;
    }
    eprintln!("{answered} answered before their kill, {cut_off} not");
    assert!(answered > rounds && cut_off > rounds, "the kills came too early or too late");
    crowd.settle(&yard).await;
    assert!(yard.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_it_starts_it_starts_again() {
    databases(starts).await;
}

async fn starts(site: &Site) {
    let home = Home::on(site);
    // The first of them makes the directory, the keys and the tables, as far as it gets.
    for _ in 0..8 {
        let mut starting = home.command(SERVE).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        tokio::time::sleep(Duration::from_micros(rand::random_range(0..START_US_MAX))).await;
        starting.kill().await.unwrap();
    }
    let yard = home.serve().await;
    let admin = home.admin(&yard, "boss").await;
    Crowd::gather(&yard, &admin, 20, 10).await.settle(&yard).await;
    assert!(yard.terminate().await.success());
}
