//! Plays many histories of the deciding core and says whether every promise was kept.
//!
//! `cargo run --release -p admission --features sim --example simulate -- --seeds 10000 --steps 300 [--first SEED]
//! [--plant BUG]`
//!
//! Exit code: 0 when nothing was found, 1 when a violation was, 2 on wrong usage.

use std::process::ExitCode;
use std::time::Instant;

use admission::sim::{Plant, Tally, run};

const USAGE: &str = "usage: simulate [--seeds N] [--steps N] [--first SEED] [--plant BUG]";

struct Options {
    seeds: u64,
    steps: u32,
    first: u64,
    plant: Plant,
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        let bugs: Vec<_> = Plant::BUGS.iter().map(|bug| format!("{bug:?}")).collect();
        eprintln!("{USAGE}\nbugs: {}", bugs.join(", "));
        return ExitCode::from(2);
    };
    let begin = Instant::now();
    let mut tally = Tally::default();
    for seed in options.first..options.first.saturating_add(options.seeds) {
        match run(seed, options.steps, options.plant) {
            Ok(more) => tally.add(&more),
            Err(violation) => {
                println!("{tally}\nviolation after {} histories: {violation}", seed - options.first);
                return ExitCode::FAILURE;
            }
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!("{tally}\n{} histories, no violation, {seconds:.1} s", options.seeds);
    ExitCode::SUCCESS
}

fn options() -> Option<Options> {
    let mut options = Options { seeds: 10_000, steps: 300, first: 0, plant: Plant::Nothing };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next()?;
        match word.as_str() {
            "--seeds" => options.seeds = value.parse().ok()?,
            "--steps" => options.steps = value.parse().ok()?,
            "--first" => options.first = value.parse().ok()?,
            "--plant" => options.plant = Plant::BUGS.into_iter().find(|bug| format!("{bug:?}") == value)?,
            _ => return None,
        }
    }
    Some(options)
}
