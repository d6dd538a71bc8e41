//! What the log costs a batch of 500 claims: `cargo run --release -p orderlog --example speed`.

#![allow(clippy::unwrap_used)]

use orderlog::{
    Append, Event, Frontier, Leaf, LogKey, Outcome, Person, PoolCode, Want, leaf_hash, receipt, sign_checkpoint, tiles,
};
use std::hint::black_box;
use std::time::Instant;
use uuid::Uuid;

const BATCH: u64 = 500;
const ROUNDS: u32 = 200;
/// A log of this size before each batch, so that proofs have a usual length.
const BEFORE: u64 = 1_000_003;

fn main() {
    let base = "yard.example:8080/offers/01900000-0000-7000-8000-000000000001";
    let key = LogKey::from_seed(&[7; 32]);
    let want = Want::one(PoolCode::new("10k").unwrap());
    let users: Vec<Uuid> = (0..u128::from(BATCH)).map(Uuid::from_u128).collect();
    let old = Frontier { size: BEFORE, nodes: vec![[9; 32]; BEFORE.count_ones() as usize] };

    let people: Vec<Person> = timed("derive 500 people", || {
        users.iter().map(|user| Person::derive(b"a secret of thirty-two bytes....", base, *user).0).collect()
    });
    let lines: Vec<String> = timed("write 500 leaves", || {
        let line = |(at, person): (u64, &Person)| {
            let event = Event::Claim {
                seq: BEFORE + at,
                person: *person,
                received_ms: 1_750_000_000_000,
                want: want.clone(),
                outcome: Outcome::Refused,
            };
            Leaf { index: BEFORE + at, decided_ms: 1_750_000_000_123, event }.to_string()
        };
        (0..).zip(&people).map(line).collect()
    });
    timed("bundle 500 leaves", || {
        let mut bundle = Vec::with_capacity(64 * 1024);
        lines.iter().for_each(|line| tiles::push_entry(&mut bundle, line.as_bytes()).unwrap());
        bundle
    });
    let appended = timed("hash and append 500 leaves", || {
        let mut append = Append::new(old.clone());
        lines.iter().for_each(|line| append.push(leaf_hash(line.as_bytes())));
        append.finish()
    });
    let checkpoint = timed("sign", || sign_checkpoint(&key, base, BEFORE + BATCH, &appended.root()));
    timed("500 proofs and receipts", || {
        let text = |(index, line): (u64, &String)| receipt(line, index, &appended.proof(index), &checkpoint);
        (BEFORE..).zip(&lines).map(text).collect::<Vec<_>>()
    });
    timed("parse 500 leaves", || lines.iter().map(|line| line.parse().unwrap()).collect::<Vec<Leaf>>());
}

/// Runs it many times and prints the mean in microseconds.
fn timed<T>(what: &str, mut run: impl FnMut() -> T) -> T {
    let start = Instant::now();
    for _ in 1..ROUNDS {
        black_box(run());
    }
    let last = run();
    println!("{what:>28}: {:>7.1} us", start.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS));
    last
}
