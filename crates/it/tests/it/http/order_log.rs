//! The public order log over HTTP, below `/api/v1/races/{id}/offer`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::join_all;
use orderlog::check::verify;
use orderlog::tiles::entries;
use orderlog::{Leaf, Receipt, Rules, VerifierKey, leaf_hash, open_checkpoint};
use serde_json::json;

use super::race;
use crate::support::app::{Answer, App, yards};
use crate::support::books::Served;

const IMMUTABLE: &str = "public, max-age=31536000, immutable";
const NEWEST: &str = "public, max-age=1";
const TEXT: &str = "text/plain; charset=utf-8";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_address_of_a_log_answers_and_they_agree() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let race = race::open(app, &organiser, 2, json!({})).await;
        for person in app.crowd(4) {
            race::claim(app, &race, &person).await;
        }
        let log = Log { app, prefix: format!("{race}/offer") };
        let offer = app.get(log.prefix.clone()).await.must(200);
        assert_eq!(offer.text("prefix"), log.prefix);

        let keys = log.text("keys", NEWEST).await;
        let key = VerifierKey::parse(keys.strip_suffix('\n').unwrap()).unwrap();
        assert_eq!(key.name(), offer.text("origin"));
        let note = log.text("checkpoint", NEWEST).await;
        let checkpoint = open_checkpoint(&note, &key).unwrap();
        assert_eq!((checkpoint.size, offer.number("size")), (5, 5));

        let leaves = log.leaves(5).await;
        for (leaf, index) in leaves.iter().zip(0..) {
            let receipt = log.text(&format!("receipts/{index}"), NEWEST).await;
            let receipt = Receipt::parse(&receipt).unwrap();
            receipt.verify(&key).unwrap();
            assert_eq!((receipt.leaf.to_string(), receipt.checkpoint), (leaf.clone(), note.clone()));
        }

        let bundle = log.bytes("tile/entries/000.p/5").await;
        let served: Vec<&[u8]> = entries(&bundle).map(Result::unwrap).collect();
        assert_eq!(served, leaves.iter().map(|leaf| leaf.as_bytes()).collect::<Vec<_>>());
        let hashes: Vec<u8> = leaves.iter().flat_map(|leaf| leaf_hash(leaf.as_bytes())).collect();
        assert_eq!(log.bytes("tile/0/000.p/5").await, hashes);
        assert_eq!(log.bytes("tile/0/000.p/3").await, hashes[..96], "a partial tile stays when the log has grown");

        let sha = leaves[0].rsplit(' ').next().unwrap();
        let rules = log.get(&format!("rules/{sha}")).await.must(200);
        assert_eq!((rules.header("content-type"), rules.header("cache-control")), ("application/json", IMMUTABLE));
        let read = Rules::parse(&rules.bytes).unwrap();
        assert_eq!(hex(&read.sha()), sha);
        assert_eq!(read.pools[0].capacity, 2);
        for path in
            ["checkpoint", "keys", "receipts/1", "tile/0/000.p/5", "tile/entries/000.p/5", "log?after=-1&limit=100"]
        {
            let first = log.get(&format!("logs/1/{path}")).await.must(200);
            assert_eq!(first.bytes, log.get(path).await.must(200).bytes, "{path}");
        }
        log.verified(5);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_log_does_not_have_is_not_found_and_not_kept() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let race = race::open(app, &organiser, 1, json!({})).await;
        race::claim(app, &race, &app.crowd(1)[0]).await.must(201);
        let log = Log { app, prefix: format!("{race}/offer") };
        for path in [
            // Wider than committed, and full where it is not.
            "tile/0/000.p/3",
            "tile/entries/000.p/3",
            "tile/0/000",
            "tile/entries/000",
            "tile/1/000.p/1",
            "tile/0/001.p/1",
            "tile/0/x001/000.p/1",
            "tile/63/000.p/1",
            // No tiles at all.
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/02",
            "tile/0/0.p/1",
            "tile/64/000.p/1",
            "tile/-1/000.p/1",
            "tile/entries/000.p",
            "tile/0",
            "tile/x",
            "tile/0/000.p/99999999999999999999",
            "tile/../keys",
            "receipts/2",
            "receipts/-1",
            "receipts/x",
            "receipts/99999999999999999999",
            "rules/00",
            "rules/0000000000000000000000000000000000000000000000000000000000000000",
            "logs/2/checkpoint",
            "logs/0/checkpoint",
            "logs/x/checkpoint",
            "logs/4294967296/keys",
            "logs/1",
            "logs",
            "nothing",
        ] {
            let answer = log.get(path).await.must(404);
            assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        }
        for query in [
            "limit=0",
            "limit=1001",
            "limit=-1",
            "limit=x",
            "after=-2",
            "after=9223372036854775807",
            "after=x",
            "page=1",
        ] {
            log.get(&format!("log?{query}")).await.problem(422, "http/invalid");
        }
        let past = log.get("log?after=9223372036854775806").await.must(200);
        assert_eq!(past.body, json!({ "size": 2, "items": [] }));
        let nobodys = Log { app, prefix: "/api/v1/races/0190b2a4-0000-7000-8000-000000000000/offer".to_owned() };
        for path in ["checkpoint", "keys", "log", "receipts/0", "tile/0/000.p/1", "rules/00"] {
            nobodys.get(path).await.problem(404, "http/not-found");
        }
        for path in ["checkpoint", "keys", "log"] {
            let answer = app.post(format!("{}/{path}", log.prefix), json!({})).await.problem(405, "http/method");
            assert!(answer.header("allow").contains("GET"), "{path}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_longer_than_a_tile_has_full_tiles_and_a_level_above() {
    const PEOPLE: usize = 300;
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let race = race::open(app, &organiser, 10, json!({})).await;
        let people = app.crowd(PEOPLE);
        let clicks = people.iter().map(|person| race::click(app, &race, person));
        let answers = join_all(clicks).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 10);

        let log = Log { app, prefix: format!("{race}/offer") };
        let size = PEOPLE + 1;
        let leaves = log.leaves(size).await;
        let hashes: Vec<u8> = leaves.iter().flat_map(|leaf| leaf_hash(leaf.as_bytes())).collect();
        assert_eq!(log.bytes("tile/0/000").await, hashes[..256 * 32]);
        assert_eq!(log.bytes("tile/0/001.p/45").await, hashes[256 * 32..]);
        let bundle = log.bytes("tile/entries/000").await;
        assert_eq!(entries(&bundle).count(), 256);
        assert_eq!(log.bytes("tile/1/000.p/1").await.len(), 32);
        log.get("tile/0/001").await.problem(404, "http/not-found");
        log.get("tile/1/000.p/2").await.problem(404, "http/not-found");
        log.verified(size as u64);

        let keys = log.text("keys", NEWEST).await;
        let key = VerifierKey::parse(keys.trim_end()).unwrap();
        for answer in &answers {
            let receipt = Receipt::parse(&answer.text("receipt")).unwrap();
            receipt.verify(&key).unwrap();
            assert_eq!(receipt.index, answer.number("log_index") as u64);
            assert_eq!(receipt.leaf.event.seq(), Some(answer.number("sequence") as u64));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_persons_pseudonym_is_his_to_show() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let race = race::open(app, &organiser, 5, json!({})).await;
        let member = app.member().await;
        let answer = race::claim(app, &race, &member).await.must(201);
        let origin = app.get(format!("{race}/offer")).await.must(200).text("origin");
        let key: [u8; 32] = STANDARD.decode(answer.text("person_key")).unwrap().try_into().unwrap();
        let person = orderlog::Person::from_key(&key, &origin, member.id.parse().unwrap());
        let receipt = Receipt::parse(&answer.text("receipt")).unwrap();
        let orderlog::Event::Claim { person: logged, .. } = receipt.leaf.event else { panic!("{:?}", receipt.leaf) };
        assert_eq!(logged, person);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_stays_when_its_race_goes() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let race = race::open(app, &organiser, 1, json!({})).await;
        let people = app.crowd(2);
        let placed = race::claim(app, &race, &people[0]).await.must(201);
        race::claim(app, &race, &people[1]).await.problem(409, "admission/sold-out");
        app.delete(race.clone()).by(&organiser).await.problem(409, "races/has-registrations");
        app.delete(format!("/api/v1/registrations/{}", placed.text("id"))).by(&people[0]).await.must(200);
        app.delete(race.clone()).by(&organiser).await.must(204);

        for gone in [race.clone(), format!("{race}/offer")] {
            app.get(gone).await.problem(404, "http/not-found");
        }
        race::claim(app, &race, &people[1]).await.problem(404, "http/not-found");
        let log = Log { app, prefix: format!("{race}/offer") };
        let leaves = log.leaves(5).await;
        let events: Vec<&str> = leaves.iter().map(|leaf| leaf.split(' ').nth(3).unwrap()).collect();
        assert_eq!(events, ["rules", "claim", "claim", "return", "pause"]);
        for path in ["keys", "receipts/2", "tile/0/000.p/5", "tile/entries/000.p/5"] {
            log.get(path).await.must(200);
        }
        log.verified(5);
    })
    .await;
}

/// A log as strangers read it.
struct Log<'a> {
    app: &'a App,
    prefix: String,
}

impl Log<'_> {
    async fn get(&self, path: &str) -> Answer {
        self.app.get(format!("{}/{path}", self.prefix)).await
    }

    async fn text(&self, path: &str, cache: &str) -> String {
        let answer = self.get(path).await.must(200);
        assert_eq!((answer.header("content-type"), answer.header("cache-control")), (TEXT, cache), "{path}");
        String::from_utf8(answer.bytes.to_vec()).unwrap()
    }

    async fn bytes(&self, path: &str) -> Vec<u8> {
        let answer = self.get(path).await.must(200);
        let kind = (answer.header("content-type"), answer.header("cache-control"));
        assert_eq!(kind, ("application/octet-stream", IMMUTABLE), "{path}");
        answer.bytes.to_vec()
    }

    /// All leaves by the JSON pages, whose fields say what the lines say.
    async fn leaves(&self, size: usize) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.len() < size {
            let after = lines.len() as i64 - 1;
            let page = self.get(&format!("log?after={after}&limit=100")).await.must(200);
            assert_eq!(page.number("size"), size as i64);
            assert!(!page.items().is_empty(), "the log ends at {after}");
            for item in page.items() {
                let line = item["leaf"].as_str().unwrap().to_owned();
                let leaf = Leaf::parse(line.as_bytes()).unwrap();
                let told =
                    (item["index"].as_u64(), item["decided_ms"].as_i64(), item["event"].as_str(), item["seq"].as_u64());
                assert_eq!(told, (Some(leaf.index), Some(leaf.decided_ms), Some(leaf.event.name()), leaf.event.seq()));
                assert_eq!(leaf.index, lines.len() as u64);
                lines.push(line);
            }
        }
        lines
    }

    /// The checker finds no lie in the log.
    fn verified(&self, size: u64) {
        let served = Served::new(self.app.yard.router(), format!("{}/", self.prefix));
        let report = tokio::task::block_in_place(|| verify(&served, &[]));
        assert!(report.verified, "{:#?}", report.violations);
        assert_eq!(report.logs[0].size, size);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
