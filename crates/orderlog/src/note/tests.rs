use super::*;

const NAME: &str = "yard.example/offers/01900000-0000-7000-8000-000000000001";

fn key() -> LogKey {
    LogKey::from_seed(&[7; 32])
}

fn verifier() -> VerifierKey {
    VerifierKey::parse(&key().verifier_key(NAME)).expect("our own key")
}

#[test]
fn origins_of_later_logs() {
    assert_eq!([1, 2, 12].map(|no| origin("y/offers/x", no)), ["y/offers/x", "y/offers/x/2", "y/offers/x/12"]);
}

/// The example of the Go checksum database, whose format became the signed note.
#[test]
fn a_strangers_key_is_read() {
    let text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    let peter = VerifierKey::parse(text).expect("a key");
    assert_eq!((peter.name(), peter.id(), peter.to_string().as_str()), ("PeterNeumann", 0xc74f_20a3, text));
}

#[test]
fn false_keys_are_refused() {
    let good = key().verifier_key(NAME);
    for (from, to) in [("yard", "lard"), ("+A", "+B"), ("+", " "), ("yard", "ya rd"), ("=", ""), ("+A", "+")] {
        let text = good.replacen(from, to, 1);
        if text != good {
            assert!(VerifierKey::parse(&text).is_err(), "{text}");
        }
    }
    assert!(VerifierKey::parse("").is_err());
}

#[test]
fn a_checkpoint_is_opened_by_its_key_only() {
    let note = sign_checkpoint(&key(), NAME, 143, &[5; 32]);
    let checkpoint = Checkpoint { origin: NAME.to_owned(), size: 143, root: [5; 32] };
    assert_eq!(open_checkpoint(&note, &verifier()), Ok(checkpoint.clone()));
    assert_eq!(read_checkpoint(&note), Ok(checkpoint.clone()));
    assert_eq!(sign_checkpoint(&key(), NAME, 143, &[5; 32]), note, "deterministic");
    let other = VerifierKey::parse(&LogKey::from_seed(&[8; 32]).verifier_key(NAME)).expect("key");
    assert!(open_checkpoint(&note, &other).is_err());
    let witnessed = format!("{note}\u{2014} witness.example {}\n", STANDARD.encode([9; 80]));
    assert_eq!(open_checkpoint(&witnessed, &verifier()), Ok(checkpoint));
}

#[test]
fn changed_checkpoints_are_refused() {
    let note = sign_checkpoint(&key(), NAME, 143, &[5; 32]);
    let signature = note.lines().last().expect("a line").to_owned();
    for text in [
        note.replace("143", "144"),
        note.replace("143", "0143"),
        note.replace("\n\n", "\n"),
        note.trim_end().to_owned(),
        note.replace("143\n", "143\n\n"),
        note.replace(&signature, ""),
        note.replace('\u{2014}', "-"),
        // A second line by our key id that is too short to be a signature.
        format!("{note}\u{2014} {NAME} {}\n", STANDARD.encode([&key().id(NAME).to_be_bytes()[..], &[0; 4]].concat())),
        note.replace("143", "143\r"),
        String::new(),
    ] {
        assert!(open_checkpoint(&text, &verifier()).is_err(), "{text}");
    }
    // Rightly signed under this name, but a checkpoint of another log.
    let foreign = sign_checkpoint(&key(), "yard.example/offers/other", 143, &[5; 32]);
    assert!(open_checkpoint(&foreign, &verifier()).is_err());
}

#[test]
fn a_secret_key_prints_nothing() {
    assert_eq!(format!("{:?}", key()), "LogKey(***)");
}
