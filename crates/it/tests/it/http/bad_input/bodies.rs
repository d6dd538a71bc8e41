//! Bodies that are none, too big, or not what was asked for.

use axum::http::Method;
use serde_json::{Value, json};

use crate::http::race;
use crate::support::app::{App, Ask, PASSWORD, Person, fresh_name, yards};

/// Operations with a body, and a field of it that is a text.
const WITH_BODY: [(&str, &str, &str); 8] = [
    ("POST", "/api/v1/users", "name"),
    ("POST", "/api/v1/auth/login", "username"),
    ("POST", "/api/v1/auth/refresh", "refresh_token"),
    ("PATCH", "/api/v1/users/me", "name"),
    ("POST", "/api/v1/company-applications", "name"),
    ("POST", "/api/v1/races", "title"),
    ("POST", "{race}/registrations", "course"),
    ("PUT", "{race}/offer", "reason"),
];

/// An organiser with a race of his own.
struct World<'a> {
    app: &'a App,
    organiser: Person,
    race: String,
}

impl<'a> World<'a> {
    async fn open(app: &'a App) -> World<'a> {
        let (organiser, _) = app.organiser().await;
        let race = race::open(app, &organiser, 5, json!({})).await;
        World { app, organiser, race }
    }

    fn ask(&self, method: &str, path: &str) -> Ask<'a> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        self.app.ask(method, path.replace("{race}", &self.race)).by(&self.organiser)
    }

    /// Nothing was taken or changed.
    async fn untouched(&self) {
        let race = self.app.get(self.race.clone()).await.must(200);
        assert_eq!((race.number("version"), race.number("remaining"), race.text("state")), (1, 5, "open".to_owned()));
        let me = self.app.get("/api/v1/users/me").by(&self.organiser).await.must(200);
        assert_eq!(me.number("version"), 2, "its role is all that ever changed");
        assert_eq!(self.app.get("/api/v1/races").await.must(200).items().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_json_cannot_be_read() {
    yards(async |app| {
        let world = World::open(app).await;
        for (method, path, _) in WITH_BODY {
            for text in [
                "",
                "{",
                "}",
                "{\"a\":}",
                "{'a':1}",
                "{} {}",
                "{}x",
                "nul",
                "\u{feff}{}",
                "{\"a\":1,}",
                "NaN",
                "{\"a\":01}",
            ] {
                let answer =
                    world.ask(method, path).bytes(text.to_owned()).header("content-type", "application/json").await;
                assert_eq!(
                    (answer.status, answer.code()),
                    (400, "http/unreadable"),
                    "{method} {path} {text:?}: {}",
                    answer.show()
                );
            }
            // Bytes that are no UTF-8 inside a text.
            let answer = world
                .ask(method, path)
                .bytes(b"{\"name\":\"\xff\xfe\"}".to_vec())
                .header("content-type", "application/json")
                .await;
            assert!(matches!(answer.status, 400 | 422), "{method} {path}: {}", answer.show());
            // Deeper than anybody writes.
            let deep = "[".repeat(100_000);
            let answer = world.ask(method, path).bytes(deep).header("content-type", "application/json").await;
            assert!(matches!(answer.status, 400 | 422), "{method} {path}: {}", answer.show());
        }
        world.untouched().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_object_is_not_taken_for_one() {
    yards(async |app| {
        let world = World::open(app).await;
        for (method, path, _) in WITH_BODY {
            for body in [json!([]), json!(["a", "b", "c", "d", "e"]), json!(null), json!("text"), json!(1), json!(true)]
            {
                world.ask(method, path).json(&body).await.problem(422, "http/invalid");
            }
        }
        // An array is no object further in either.
        for changes in [json!({ "eligibility": [] }), json!({ "refund_rules": [["2027-01-01T00:00:00Z", 50]] })] {
            let body = race::body(app, 5, changes);
            app.post("/api/v1/races", body).by(&world.organiser).await.problem(422, "http/invalid");
        }
        world.untouched().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_json_is_taken() {
    yards(async |app| {
        let world = World::open(app).await;
        for (method, path, _) in WITH_BODY {
            for kind in [
                "",
                "text/plain",
                "application/x-www-form-urlencoded",
                "multipart/form-data; boundary=x",
                "application/jsonp",
                "json",
            ] {
                world.ask(method, path).bytes("{}").header("content-type", kind).await.problem(415, "http/media-type");
            }
            world.ask(method, path).bytes("{}").await.problem(415, "http/media-type");
        }
        // A parameter and another case are the same media type.
        let member = app.member().await;
        let body = json!({ "name": "이바람" }).to_string();
        let patch = || app.ask(Method::PATCH, "/api/v1/users/me").by(&member).bytes(body.clone());
        patch().header("content-type", "Application/JSON; charset=UTF-8").await.must(200);
        world.untouched().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_big_is_refused_before_it_is_read() {
    yards(async |app| {
        let world = World::open(app).await;
        for (method, path, field) in WITH_BODY {
            let body = json!({ field: "x".repeat(256 * 1024) });
            let answer = world.ask(method, path).json(&body).await.problem(413, "http/too-large");
            assert_eq!(answer.number("limit_bytes"), 256 * 1024);
            let spaces = format!("{{}}{}", " ".repeat(300 * 1024));
            world
                .ask(method, path)
                .bytes(spaces)
                .header("content-type", "application/json")
                .await
                .problem(413, "http/too-large");
        }
        world.untouched().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_unknown_or_said_twice_is_refused() {
    yards(async |app| {
        let world = World::open(app).await;
        for (method, path, field) in WITH_BODY {
            for unknown in ["nonsense", "__proto__", "", "이름", "Name"] {
                world.ask(method, path).json(&json!({ unknown: 1 })).await.problem(422, "http/invalid");
            }
            let twice = format!("{{\"{field}\":\"a\",\"{field}\":\"b\"}}");
            world
                .ask(method, path)
                .bytes(twice)
                .header("content-type", "application/json")
                .await
                .problem(422, "http/invalid");
        }
        world.untouched().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_of_another_kind_names_its_field() {
    yards(async |app| {
        let world = World::open(app).await;
        for (method, path, field) in WITH_BODY {
            for value in [
                json!(1),
                json!(-1),
                json!(1e300),
                json!(true),
                json!({}),
                json!(["x"]),
                json!(18_446_744_073_709_551_615_u64),
            ] {
                world.ask(method, path).json(&json!({ field: value })).await.wrong_field(field);
            }
            // Numbers that no type holds.
            let huge = format!("{{\"{field}\":{}}}", "9".repeat(400));
            let answer = world.ask(method, path).bytes(huge).header("content-type", "application/json").await;
            assert!(matches!(answer.status, 400 | 422), "{method} {path}: {}", answer.show());
        }
        world.untouched().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_text_holds_a_nul() {
    yards(async |app| {
        let world = World::open(app).await;
        for (method, path, field) in WITH_BODY {
            world.ask(method, path).json(&json!({ field: "a\u{0}b" })).await.wrong_field("");
            let raw = format!("{{\"{field}\":\"a\u{0}b\"}}");
            world
                .ask(method, path)
                .bytes(raw)
                .header("content-type", "application/json")
                .await
                .problem(400, "http/unreadable");
        }
        world.untouched().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_script_comes_back_as_it_was_sent() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        for text in [
            "한강 달빛 🌙 마라톤",
            "\u{1F468}\u{200D}\u{1F469}\u{200D}\u{1F467}",
            "Z\u{0351}\u{036B}\u{0343}a\u{0300}\u{0301}lgo",
            "\u{202E}gnihtyna\u{202C}",
            "ﷺ ꧁ 𐍈 \u{10FFFF}",
            "'; DROP TABLE race; --",
            "<script>alert(1)</script>",
            "${jndi:ldap://x} {{7*7}} %s %n",
            "\\u0000 as text",
            "a\tb\u{7f}c\u{1b}[31m",
            "\u{FFFD}\u{FEFF}\u{2028}\u{FDD0}",
        ] {
            let made = race::make(
                app,
                &organiser,
                1,
                json!({ "title": text, "place": text, "description": text, "terms": text }),
            )
            .await;
            let read = app.get(format!("/api/v1/races/{}", made.text("id"))).await.must(200);
            for field in ["title", "place", "description", "terms"] {
                assert_eq!(read.text(field), text, "{field}");
            }
        }
        // A lone surrogate cannot be written in UTF-8; its escape is refused.
        let body = race::body(app, 1, json!({ "title": "SURROGATE" })).to_string().replace("SURROGATE", "\\ud800");
        let lone = app
            .ask(Method::POST, "/api/v1/races")
            .by(&organiser)
            .bytes(body)
            .header("content-type", "application/json")
            .await;
        lone.problem(400, "http/unreadable");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_of_people_are_composed_and_bounded_in_characters() {
    yards(async |app| {
        let sign_up = |name: &str| {
            let username = fresh_name("m");
            let body: Value = json!({
                "username": username, "password": PASSWORD, "name": name, "nickname": username, "email": "a@example.com",
            });
            app.post("/api/v1/users", body)
        };
        let decomposed = "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1161}\u{11bc}";
        assert_eq!(sign_up(decomposed).await.must(201).text("name"), "한강");
        assert_eq!(sign_up(&"가".repeat(40)).await.must(201).text("name").chars().count(), 40);
        sign_up(&"가".repeat(41)).await.wrong_field("name");
        for invisible in ["\u{200B}\u{200B}", "\u{202E}x", "a\nb", "a\u{0007}b"] {
            sign_up(invisible).await.wrong_field("name");
        }
    })
    .await;
}
