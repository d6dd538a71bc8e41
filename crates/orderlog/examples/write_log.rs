//! Writes the published files of a made-up log into a directory, for verifiers of other languages:
//! `cargo run -p orderlog --example write_log -- DIRECTORY [LEAVES]`. Serve it with any file server.

#![allow(clippy::unwrap_used)]

use orderlog::LogKey;
use std::path::Path;
use uuid::Uuid;

#[path = "../tests/suite/long.rs"]
mod long;
#[path = "../tests/suite/published.rs"]
mod published;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().expect("a directory to write into");
    let size = arguments.next().map_or(70_000, |size| size.parse().expect("a number of leaves"));
    let offer = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);
    let base = format!("yard.example/offers/{offer}");
    let key = LogKey::from_seed(&[7; 32]);
    let (rules, leaves) = long::long_sale(offer, size);
    let mut published = published::Published::new(&base, &key, &[rules.canonical()], std::slice::from_ref(&leaves));
    for index in [0, size / 2, size - 1] {
        let receipt = published::receipt_for(&base, &key, &leaves, index);
        published.files.insert(format!("receipts/{index}"), receipt.into_bytes());
    }
    for (path, bytes) in &published.files {
        let file = Path::new(&directory).join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
    println!("{} files, {size} leaves, in {directory}", published.files.len());
}
