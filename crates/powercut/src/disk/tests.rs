use super::*;

const HERE: Identity = (1, 1);
const WAL: &str = "/d/x-wal";
const DB: &str = "/d/x";

fn bytes(state: &State, path: &str, seed: u64, survivors: Survivors) -> Option<Vec<u8>> {
    state.image(seed, survivors).into_iter().find(|(name, _)| *name == Path::new(path)).map(|(_, bytes)| bytes)
}

fn database(content: &[u8]) -> (State, NodeId) {
    let mut state = State::default();
    let id = state.adopt(Path::new(DB), HERE, content.to_vec());
    (state, id)
}

#[test]
fn a_sync_keeps_what_was_written_before_it_began() {
    let (mut state, id) = database(b"........");
    state.write(id, 0, b"AB");
    let began = state.changes(id);
    state.write(id, 4, b"CD");
    state.sync(id, began);
    assert_eq!(bytes(&state, DB, 0, Survivors::None).as_deref(), Some(&b"AB......"[..]));
    assert_eq!(bytes(&state, DB, 0, Survivors::All).as_deref(), Some(&b"AB..CD.."[..]));

    state.sync(id, began);
    assert_eq!(
        bytes(&state, DB, 0, Survivors::None).as_deref(),
        Some(&b"AB......"[..]),
        "an overtaken sync adds nothing"
    );
    state.sync(id, state.changes(id));
    assert_eq!(bytes(&state, DB, 0, Survivors::None).as_deref(), Some(&b"AB..CD.."[..]));
}

#[test]
fn old_changes_are_written_back_unasked() {
    let (mut state, id) = database(b"");
    let began = state.changes(id);
    for change in 0..=UNSYNCED_MAX as u64 {
        state.write(id, change, b"X");
    }
    let durable = bytes(&state, DB, 0, Survivors::None).expect("the file is there");
    assert_eq!(durable, vec![b'X'; UNSYNCED_MAX / 2]);
    assert_eq!(state.changes(id), UNSYNCED_MAX as u64 + 1);
    state.sync(id, began);
    assert_eq!(bytes(&state, DB, 0, Survivors::None), Some(durable));
}

#[test]
fn truncation_waits_for_the_sync_and_growth_is_zeroed() {
    let (mut state, id) = database(b"abcdef");
    state.truncate(id, 2);
    state.write(id, 4, b"!");
    assert_eq!(bytes(&state, DB, 0, Survivors::None).as_deref(), Some(&b"abcdef"[..]));
    assert_eq!(bytes(&state, DB, 0, Survivors::All).as_deref(), Some(&b"ab\0\0!"[..]));
    state.sync(id, state.changes(id));
    assert_eq!(bytes(&state, DB, 0, Survivors::None).as_deref(), Some(&b"ab\0\0!"[..]));
}

#[test]
fn unsynced_writes_survive_in_every_combination_and_order() {
    let (mut state, id) = database(b"..");
    state.write(id, 0, b"A");
    state.write(id, 0, b"B");
    state.write(id, 1, b"C");
    let seen: BTreeSet<Vec<u8>> = (0..200).filter_map(|seed| bytes(&state, DB, seed, Survivors::Writes)).collect();
    let all: [&[u8]; 6] = [b"..", b"A.", b"B.", b".C", b"AC", b"BC"];
    assert_eq!(seen, all.iter().map(|bytes| bytes.to_vec()).collect());
}

#[test]
fn sectors_survive_apart_and_may_tear() {
    let (mut state, id) = database(&[b'.'; 1536]);
    // Not aligned: the first and the last piece are parts of a sector.
    state.write(id, 100, &[b'X'; 1300]);
    let mut apart = false;
    let mut torn = false;
    for seed in 0..200 {
        let image = bytes(&state, DB, seed, Survivors::Sectors).expect("the file is there");
        assert_eq!(image.len(), 1536);
        for (index, byte) in image.iter().enumerate() {
            assert!(*byte == b'.' || (*byte == b'X' && (100..1400).contains(&index)));
        }
        let written = [&image[100..512], &image[512..1024], &image[1024..1400]];
        for piece in written {
            let kept = piece.iter().take_while(|byte| **byte == b'X').count();
            assert!(piece[kept..].iter().all(|byte| *byte == b'.'), "a sector keeps its first bytes");
            torn |= kept > 0 && kept < piece.len();
        }
        apart |= written[0][0] != written[1][0] || written[1][0] != written[2][0];
    }
    assert!(apart && torn);
}

#[test]
fn one_seed_is_one_image() {
    let (mut state, id) = database(&[b'.'; 4096]);
    for part in 0..8 {
        state.write(id, part * 512, &[b'X'; 512]);
    }
    for mode in Survivors::EACH {
        assert_eq!(bytes(&state, DB, 7, mode), bytes(&state, DB, 7, mode));
    }
    let images: BTreeSet<_> = (0..20).map(|seed| bytes(&state, DB, seed, Survivors::Sectors)).collect();
    assert!(images.len() > 10);
}

#[test]
fn a_new_name_lasts_from_the_first_sync() {
    let (mut state, _) = database(b"db");
    let wal = state.create(Path::new(WAL), (1, 2));
    state.write(wal, 0, b"frame");
    assert_eq!(bytes(&state, WAL, 0, Survivors::None), None);
    assert_eq!(bytes(&state, WAL, 0, Survivors::All).as_deref(), Some(&b"frame"[..]));
    state.sync(wal, state.changes(wal));
    assert_eq!(bytes(&state, WAL, 0, Survivors::None).as_deref(), Some(&b"frame"[..]));
}

#[test]
fn a_deletion_without_the_sync_of_its_directory_may_come_undone() {
    let (mut state, _) = database(b"db");
    let old = state.adopt(Path::new(WAL), (1, 2), b"old".to_vec());
    state.delete(Path::new(WAL), false);
    assert_eq!(bytes(&state, WAL, 0, Survivors::None).as_deref(), Some(&b"old"[..]));
    assert_eq!(bytes(&state, WAL, 0, Survivors::All), None);

    let new = state.create(Path::new(WAL), (1, 3));
    state.write(new, 0, b"new");
    assert_eq!(bytes(&state, WAL, 0, Survivors::None).as_deref(), Some(&b"old"[..]));
    state.sync(new, state.changes(new));
    assert_eq!(bytes(&state, WAL, 0, Survivors::None).as_deref(), Some(&b"new"[..]));
    assert!(!state.nodes.contains_key(&old), "no name leads to the old file any more");

    state.delete(Path::new(WAL), true);
    for mode in Survivors::EACH {
        assert_eq!(bytes(&state, WAL, 0, mode), None);
        assert_eq!(bytes(&state, DB, 0, mode).as_deref(), Some(&b"db"[..]));
    }
    state.write(new, 0, b"late");
    assert_eq!(state.changes(new), 0);
}

#[test]
fn a_file_that_was_replaced_is_not_the_known_one() {
    let (mut state, id) = database(b"db");
    assert_eq!(state.known(Path::new(DB), HERE), Some(id));
    assert_eq!(state.known(Path::new(DB), (1, 9)), None);
    let other = state.adopt(Path::new(DB), (1, 9), b"other".to_vec());
    assert_ne!(other, id);
    assert_eq!(bytes(&state, DB, 0, Survivors::None).as_deref(), Some(&b"other"[..]));
}
