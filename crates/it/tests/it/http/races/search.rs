//! Lists of races: search, filters, pages.

use serde_json::{Value, json};

use crate::http::race::{self, in_s};
use crate::support::app::{App, yards};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn races_are_found_by_parts_of_words_in_title_and_place() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        for (title, place) in
            [("서울달빛마라톤", "여의도 한강공원"), ("가을 국제 10K", "춘천 의암호"), ("Seoul Half 100%_", "잠실")]
        {
            race::make(app, &organiser, 5, json!({ "title": title, "place": place })).await;
        }
        let first = "서울달빛마라톤";
        for (text, found) in [
            ("달빛", vec![first]),
            ("빛마", vec![first]),
            ("한강", vec![first]),
            ("의암", vec!["가을 국제 10K"]),
            ("여의 마라", vec![first]),
            ("seoul", vec!["Seoul Half 100%_"]),
            ("10k", vec!["가을 국제 10K"]),
            ("100%_", vec!["Seoul Half 100%_"]),
            ("%", vec!["Seoul Half 100%_"]),
            ("마라톤 춘천", vec![]),
            ("'; DROP TABLE race; --", vec![]),
            ("\" OR 1=1", vec![]),
            ("NOT AND OR", vec![]),
            ("😀", vec![]),
        ] {
            assert_eq!(titles(app, &format!("q={}", encoded(text))).await, found, "{text}");
        }
        assert_eq!(titles(app, "q=").await.len(), 3);
        assert_eq!(titles(app, &format!("q={}", encoded("   "))).await.len(), 3);
        let long = encoded(&"가".repeat(101));
        app.get(format!("/api/v1/races?q={long}")).await.wrong_field("q");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn races_are_filtered_by_what_they_are() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let make = async |title: &str, capacity: u32, changes: Value| {
            let mut changes = changes;
            changes["title"] = json!(title);
            race::open(app, &organiser, capacity, changes).await
        };
        make("later", 5, json!({ "opens_at": in_s(app, 3_600), "type": "full", "race_at": in_s(app, 1_000_000) }))
            .await;
        make("open", 5, json!({ "race_at": in_s(app, 2_000_000) })).await;
        let paused = make("paused", 5, json!({ "race_at": in_s(app, 3_000_000) })).await;
        let full = make("full", 1, json!({ "race_at": in_s(app, 4_000_000) })).await;
        let closed = make("closed", 5, json!({ "race_at": in_s(app, 5_000_000) })).await;
        let hand = |race: &str, change: Value| app.put(format!("{race}/offer"), change).by(&organiser);
        hand(&paused, json!({ "paused": true, "reason": "x" })).await.must(200);
        hand(&closed, json!({ "closes_at": in_s(app, -1), "reason": "x" })).await.must(200);
        race::claim(app, &full, &app.crowd(1)[0]).await.must(201);

        for (query, found) in [
            ("state=scheduled", vec!["later"]),
            ("state=open", vec!["open"]),
            ("state=paused", vec!["paused"]),
            ("state=sold_out", vec!["full"]),
            ("state=closed", vec!["closed"]),
            ("state=cancelled", vec![]),
            ("type=full", vec!["later"]),
            ("type=km10&state=open", vec!["open"]),
            ("reception=lottery", vec![]),
            ("reception=first_come&limit=2", vec!["closed", "full"]),
        ] {
            assert_eq!(titles(app, query).await, found, "{query}");
        }
        let between = format!("from={}&to={}", encoded(&in_s(app, 1_500_000)), encoded(&in_s(app, 3_500_000)));
        assert_eq!(titles(app, &between).await, ["paused", "open"]);
        for bad in [
            "state=lost",
            "type=km7",
            "reception=x",
            "from=yesterday",
            "owner=me",
            "sort=title",
            "limit=0",
            "limit=101",
            "limit=x",
            "limit=-1",
            "cursor=x",
            "cursor=",
        ] {
            app.get(format!("/api/v1/races?{bad}")).await.problem(422, "http/invalid");
        }
        assert_eq!(titles(app, "limit=100").await.len(), 5);
        assert_eq!(titles(app, "limit=1").await, ["closed"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_stand_still_while_races_come_and_go() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let mut races = Vec::new();
        for n in 0..7 {
            races.insert(0, race::make(app, &organiser, 1, json!({ "title": format!("{n}") })).await.text("id"));
        }
        let mut seen = Vec::new();
        let mut next = Some(String::new());
        while let Some(cursor) = next {
            let query = if cursor.is_empty() { String::new() } else { format!("&cursor={cursor}") };
            let page = app.get(format!("/api/v1/races?limit=3{query}")).await.must(200);
            assert!(page.items().len() <= 3);
            seen.extend(page.items().iter().map(|item| item["id"].as_str().unwrap().to_owned()));
            next = page.body["next_cursor"].as_str().map(str::to_owned);
            race::make(app, &organiser, 1, json!({ "title": "new" })).await;
        }
        assert_eq!(seen, races);

        // What is deleted between two pages, the cursor's own race even, takes nothing else along.
        let page = app.get("/api/v1/races?limit=4").await.must(200);
        let last = page.items()[3]["id"].as_str().unwrap();
        app.delete(format!("/api/v1/races/{last}")).by(&organiser).await.must(204);
        let rest = app.get(format!("/api/v1/races?limit=100&cursor={}", page.text("next_cursor"))).await.must(200);
        assert_eq!(page.items().len() + rest.items().len(), 10);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rehearsals_race_is_in_no_list_and_nobody_elses() {
    yards(async |app| {
        let (organiser, admin) = app.organiser().await;
        let begun = json!({ "people": 1, "capacity": 1 });
        let hidden = app.post("/api/v1/admin/rehearsals", begun).by(&organiser).await.must(201).text("race_id");
        assert_eq!(titles(app, "limit=100").await.len(), 0);
        assert_eq!(titles(app, &format!("owner={}", organiser.id)).await.len(), 0);
        assert_eq!(titles(app, "q=Rehearsal").await.len(), 0);
        let path = format!("/api/v1/races/{hidden}");
        app.get(path.clone()).await.must(200);
        let stranger = app.in_role(&admin, "company").await;
        app.patch(path.clone(), json!({ "title": "x" })).by(&stranger).await.problem(404, "http/not-found");
        app.delete(path.clone()).by(&stranger).await.problem(404, "http/not-found");
        race::claim(app, &path, &organiser).await.problem(404, "http/not-found");
    })
    .await;
}

async fn titles(app: &App, query: &str) -> Vec<String> {
    let found = app.get(format!("/api/v1/races?{query}")).await.must(200);
    found.items().iter().map(|item| item["title"].as_str().unwrap().to_owned()).collect()
}

/// Percent-encoded for a query.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
