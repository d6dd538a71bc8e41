use super::*;

#[test]
fn paths_of_the_specification() {
    for (path, kind, n, width) in [
        ("tile/0/000", TileKind::Hashes(0), 0, 256),
        ("tile/0/x001/x234/067", TileKind::Hashes(0), 1_234_067, 256),
        ("tile/1/000.p/17", TileKind::Hashes(1), 0, 17),
        ("tile/63/000.p/1", TileKind::Hashes(63), 0, 1),
        ("tile/entries/273.p/112", TileKind::Entries, 273, 112),
        ("tile/entries/x001/000", TileKind::Entries, 1_000, 256),
        ("tile/entries/x018/x446/x744/x073/x709/x551/615", TileKind::Entries, u64::MAX, 256),
    ] {
        let tile = Tile { kind, n, width };
        assert_eq!(tile.to_string(), path);
        assert_eq!(path.parse(), Ok(tile));
    }
}

#[test]
fn other_paths_are_refused() {
    for path in [
        "",
        "tile",
        "tile/0",
        "tile/0/",
        "tile/64/000",
        "tile/00/000",
        "tile/-1/000",
        "tile/data/000",
        "tile/0/0",
        "tile/0/0000",
        "tile/0/x001",
        "tile/0/001/000",
        "tile/0/x000/001",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000.p/1.p/1",
        "tile/0/000/",
        "/tile/0/000",
        "tile/0/+12",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/0/한강",
    ] {
        assert!(path.parse::<Tile>().is_err(), "{path}");
    }
}

/// The example of the specification: 70,000 entries.
#[test]
fn tiles_of_a_tree() {
    let widths = |kind| Tile::all(kind, 70_000).map(|tile| tile.width).collect::<Vec<_>>();
    let level_0 = widths(TileKind::Hashes(0));
    assert_eq!((level_0.len(), level_0.last()), (274, Some(&112)));
    assert_eq!(widths(TileKind::Entries), level_0);
    assert_eq!(widths(TileKind::Hashes(1)), [256, 17]);
    assert_eq!(widths(TileKind::Hashes(2)), [1]);
    assert!(widths(TileKind::Hashes(3)).is_empty());
    assert_eq!(Tile::all(TileKind::Hashes(1), 256).map(|tile| tile.width).collect::<Vec<_>>(), [1]);
    assert!(Tile::all(TileKind::Entries, 0).next().is_none());
}

#[test]
fn tiles_that_a_tree_has() {
    let within = |path: &str, size| path.parse::<Tile>().is_ok_and(|tile| tile.within(size));
    assert!(within("tile/entries/273.p/112", 70_000) && within("tile/entries/273.p/111", 70_000));
    assert!(!within("tile/entries/273.p/113", 70_000) && !within("tile/entries/273", 70_000));
    assert!(within("tile/1/001.p/17", 70_000) && !within("tile/1/001.p/18", 70_000));
    assert!(!within("tile/63/000.p/1", u64::MAX));
    assert!(!within("tile/entries/x018/x446/x744/x073/x709/x551/615", u64::MAX));
}

#[test]
fn bundles_give_back_their_entries() {
    let mut bundle = Vec::new();
    for entry in [&b"one"[..], b"", &[7; 512]] {
        push_entry(&mut bundle, entry).expect("short enough");
    }
    assert_eq!(bundle[..5], [0, 3, b'o', b'n', b'e']);
    let read: Vec<_> = entries(&bundle).map(|entry| entry.map(<[u8]>::len)).collect();
    assert_eq!(read, [Ok(3), Ok(0), Ok(512)]);
    assert!(push_entry(&mut bundle, &[0; 65_536]).is_err());
    let cut: Vec<_> = entries(&bundle[..8]).map(|entry| entry.is_ok()).collect();
    assert_eq!(cut, [true, true, false]);
    assert!(entries(&[]).next().is_none());
}
