use super::*;

const STEPS: u32 = 200;

#[test]
fn histories_keep_every_promise() {
    let mut tally = Tally::default();
    for seed in 0..100 {
        match run(seed, STEPS, Plant::Nothing) {
            Ok(more) => tally.add(&more),
            Err(violation) => panic!("{violation}"),
        }
    }
    assert_eq!(tally.of("steps"), 20_000);
    // Histories in which nothing of this happened would prove nothing.
    for what in [
        "crash after taking a batch",
        "crash after locking the head",
        "crash after reading the facts",
        "crash after deciding",
        "crash after writing, before commit",
        "crash after commit, before sync",
        "crash after sync, before the answers",
        "transactions lost in power cuts",
        "commits of unknown outcome, done",
        "commits of unknown outcome, not done",
        "granted from the line",
        "parts of the line loaded",
        "clock steps back",
        "answers from memory",
        "put off to the next batch",
        "waits for the lock",
        "answer: placed",
        "answer: has one",
        "answer: the same again by its key",
        "answer: key with another body",
        "answer: refused, new number",
        "answer: refused, known number",
        "answer: refused, no number",
        "answer: moved",
        "answer: illegal move",
        "answer: limit",
        "answer: paused",
        "answer: closed",
        "answer: below what is taken",
        "answer: no units",
    ] {
        assert!(tally.of(what) > 0, "never: {what}\n{tally}");
    }
}

#[test]
fn the_same_seed_is_the_same_history() {
    assert_eq!(run(5, STEPS, Plant::Nothing), run(5, STEPS, Plant::Nothing));
    assert_ne!(run(5, STEPS, Plant::Nothing), run(6, STEPS, Plant::Nothing));
}

/// The words of the violation by which each planted bug shows first.
#[test]
fn planted_bugs_are_found() {
    for bug in Plant::BUGS {
        let found = (0..200).find_map(|seed| run(seed, STEPS, bug).err());
        assert!(found.is_some(), "{bug:?} was not found");
    }
}
