//! Who registered, as the organiser sees it.

use serde_json::{Value, json};

use crate::http::race::{self, claim, redacted};
use crate::support::app::{App, PASSWORD, Person, yards};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_organiser_sees_and_finds_who_registered() {
    yards(async |app| {
        let (organiser, admin) = app.organiser().await;
        let race = race::open(app, &organiser, 2, json!({ "waitlist": true })).await;
        let people =
            registered(app, &race, &[("runner01", "남궁하늘"), ("runner02", "제갈바다"), ("runner03", "황보하늘")])
                .await;
        app.settled().await;
        let list = |query: &str| app.get(format!("{race}/registrations?{query}"));

        let all = list("").by(&organiser).await.must(200);
        insta::allow_duplicates! {
            insta::assert_json_snapshot!(redacted(&all.items()[2]), @r#"
            {
              "address": null,
              "bib": null,
              "course": "km10",
              "decided_at": "[time]",
              "ended_by": null,
              "hold_expires_at": null,
              "id": "[id]",
              "log_index": 3,
              "name": "황보하늘",
              "next_step": null,
              "nickname": "runner03",
              "payment": null,
              "person_key": null,
              "position": 1,
              "race_id": "[id]",
              "receipt": null,
              "received_at": "[time]",
              "refund": null,
              "replaced_by": null,
              "replaces": null,
              "sequence": 3,
              "souvenir": null,
              "state": "waitlisted",
              "terms_version": null,
              "user_id": "[id]",
              "username": "runner03"
            }
            "#);
        }
        let names = async |query: &str| usernames(&list(query).by(&organiser).await.must(200).body);
        assert_eq!(names("").await, ["runner01", "runner02", "runner03"], "by number");
        assert_eq!(names("q=%ED%95%98%EB%8A%98").await, ["runner01", "runner03"], "하늘");
        assert_eq!(names("q=runner02").await, ["runner02"]);
        assert_eq!(names("q=%EB%B0%94%EB%8B%A4&state=held").await, ["runner02"]);
        assert_eq!(names("state=waitlisted").await, ["runner03"]);
        assert_eq!(names("course=km10").await.len(), 3);
        list("course=half").by(&organiser).await.wrong_field("course");
        list("state=lost").by(&organiser).await.problem(422, "http/invalid");

        let first = list("limit=2").by(&organiser).await.must(200);
        let rest = list(&format!("limit=2&cursor={}", first.text("next_cursor"))).by(&organiser).await.must(200);
        assert_eq!((usernames(&rest.body), &rest.body["next_cursor"]), (vec!["runner03".to_owned()], &Value::Null));
        assert_eq!(list("").by(&admin).await.must(200).items().len(), 3);

        // A new name follows to the list.
        app.patch("/api/v1/users/me", json!({ "name": "새이름" })).by(&people[0]).await.must(200);
        app.settled().await;
        assert_eq!(names("q=%EC%83%88%EC%9D%B4%EB%A6%84").await, ["runner01"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_csv_opens_in_a_spreadsheet_and_runs_nothing_there() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let race = race::open(app, &organiser, 5, json!({})).await;
        registered(
            app,
            &race,
            &[("csv00001", "=HYPERLINK(\"http://x\")"), ("csv00002", "김, \"바다\""), ("csv00003", "@SUM(A1)")],
        )
        .await;
        app.settled().await;
        let csv = app.get(format!("{race}/registrations")).by(&organiser).header("accept", "text/csv").await.must(200);
        assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
        assert_eq!(csv.header("content-disposition"), "attachment; filename=\"registrations.csv\"");
        let text = String::from_utf8(csv.bytes.to_vec()).unwrap();
        let lines: Vec<&str> = text.strip_prefix('\u{feff}').unwrap().lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[0].starts_with("sequence,registration_id,username,name,nickname,course,"), "{}", lines[0]);
        for (line, name) in
            lines[1..].iter().zip(["\"'=HYPERLINK(\"\"http://x\"\")\"", "\"김, \"\"바다\"\"\"", "'@SUM(A1)"])
        {
            assert!(line.contains(name), "{name} in {line}");
        }
        let some = app
            .get(format!("{race}/registrations?q=csv00002"))
            .by(&organiser)
            .header("accept", "text/csv")
            .await
            .must(200);
        assert_eq!(String::from_utf8_lossy(&some.bytes).lines().count(), 2);
    })
    .await;
}

/// Signs people up and registers them, in this order.
async fn registered(app: &App, race: &str, people: &[(&str, &str)]) -> Vec<Person> {
    let mut registered = Vec::new();
    for (username, name) in people {
        let body = json!({
            "username": username, "password": PASSWORD, "name": name, "nickname": username,
            "email": format!("{username}@example.com"),
        });
        app.post("/api/v1/users", body).await.must(201);
        let person = app.signed_in(username).await;
        claim(app, race, &person).await.must(201);
        registered.push(person);
    }
    registered
}

fn usernames(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|item| item["username"].as_str().unwrap().to_owned()).collect()
}
