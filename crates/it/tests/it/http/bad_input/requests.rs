//! Addresses, methods and headers that are not what they should be.

use axum::http::Method;
use serde_json::json;

use crate::http::race;
use crate::support::app::yards;

const NOBODYS: &str = "0190b2a4-0000-7000-8000-000000000000";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_address_says_so_in_the_callers_language() {
    yards(async |app| {
        let nothing = |accept: &str| app.get("/api/v1/nothing").header("accept-language", accept);
        for (accept, title, tongue) in [
            ("", "존재하지 않는 주소입니다", "ko"),
            ("ko-KR,ko;q=0.9,en;q=0.8", "존재하지 않는 주소입니다", "ko"),
            ("en-US,en;q=0.9", "There is nothing at this address", "en"),
            ("fr, en;q=0.5", "There is nothing at this address", "en"),
            ("fr", "존재하지 않는 주소입니다", "ko"),
            ("*;;;q=x", "존재하지 않는 주소입니다", "ko"),
        ] {
            let answer = nothing(accept).await.problem(404, "gateway/no-route");
            assert_eq!(
                (answer.text("title"), answer.header("content-language")),
                (title.to_owned(), tongue),
                "{accept}"
            );
        }
        for path in [
            "/api",
            "/api/v1",
            "/api/v2/races",
            "/api/v1/races/",
            "/API/V1/RACES",
            "/internal/identity/find-user",
            "/identity/admin",
            "/races/x/offer",
            "//api/v1/races",
            "/api/v1/races/%2e%2e/users",
            "/api/v1/users/me/",
            "/favicon.ico",
        ] {
            app.get(path).await.problem(404, "gateway/no-route");
            app.post(path, json!({})).await.problem(404, "gateway/no-route");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_method_names_the_right_ones() {
    yards(async |app| {
        for (method, path, allowed) in [
            ("PUT", "/api/v1/races", vec!["GET", "POST"]),
            ("GET", "/api/v1/auth/login", vec!["POST"]),
            ("POST", "/api/v1/users/me", vec!["GET", "PATCH"]),
            ("PUT", "/api/v1/registrations", vec!["GET"]),
            ("TRACE", "/api/v1/races", vec!["GET", "POST"]),
            ("PROPFIND", "/openapi.json", vec!["GET"]),
            ("OPTIONS", "/api/v1/races", vec!["GET", "POST"]),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let answer = app.ask(method, path).await.problem(405, "http/method");
            for name in allowed {
                assert!(
                    answer.header("allow").split(',').any(|one| one.trim() == name),
                    "{path}: {}",
                    answer.header("allow")
                );
            }
        }
        assert_eq!(app.ask(Method::HEAD, "/api/v1/races").await.must(200).bytes.len(), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_id_names_nothing() {
    yards(async |app| {
        let (organiser, admin) = app.organiser().await;
        let race = race::open(app, &organiser, 1, json!({})).await;
        let id = race.rsplit('/').next().unwrap();
        let bare = id.replace('-', "");
        let upper = id.to_uppercase();
        app.get(format!("/api/v1/races/{upper}")).await.must(200);
        for no_id in [
            "x",
            "1",
            "-1",
            "null",
            "undefined",
            &bare,
            &format!("{{{id}}}"),
            &format!("urn:uuid:{id}"),
            "%F0%9F%98%80",
            "%ff",
            "..%2f..%2fetc",
            "'%20OR%201=1",
            NOBODYS,
            &"a".repeat(5_000),
        ] {
            app.get(format!("/api/v1/races/{no_id}")).await.must(404);
            app.get(format!("/api/v1/races/{no_id}/offer")).await.must(404);
            app.get(format!("/api/v1/registrations/{no_id}")).by(&organiser).await.must(404);
            app.delete(format!("/api/v1/registrations/{no_id}")).by(&organiser).await.must(404);
            app.delete(format!("/api/v1/races/{no_id}")).by(&organiser).await.must(404);
            app.post(format!("/api/v1/races/{no_id}/registrations"), json!({})).by(&organiser).await.must(404);
            app.delete(format!("/api/v1/users/{no_id}/sessions")).by(&admin).await.must(404);
            app.get(format!("/api/v1/admin/rehearsals/{no_id}/tokens")).by(&organiser).await.must(404);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_address_brings_in_a_nul() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        for path in [
            "/api/v1/races?q=%00",
            "/api/v1/races?q=a%00b",
            "/api/v1/races/%00",
            "/%00",
            "/api/v1/users/availability?nickname=a%00",
            "/api/v1/registrations?cursor=%00",
        ] {
            app.get(path).by(&organiser).await.problem(400, "http/unreadable");
        }
        app.get("/api/v1/races?q=%2500").await.must(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_are_held_to_what_a_list_takes() {
    yards(async |app| {
        let (organiser, admin) = app.organiser().await;
        let race = race::open(app, &organiser, 1, json!({})).await;
        let foreign_cursor = "A".repeat(32);
        for (list, person) in [
            ("/api/v1/races".to_owned(), &organiser),
            ("/api/v1/registrations".to_owned(), &organiser),
            (format!("{race}/registrations"), &organiser),
            ("/api/v1/users".to_owned(), &admin),
            ("/api/v1/users/me/sessions".to_owned(), &organiser),
            ("/api/v1/users/me/company-applications".to_owned(), &organiser),
            ("/api/v1/company-applications".to_owned(), &admin),
        ] {
            let ask = |query: &str| app.get(format!("{list}?{query}")).by(person);
            for limit in [
                "0",
                "101",
                "-1",
                "9223372036854775807",
                "-9223372036854775808",
                "99999999999999999999",
                "1.0",
                "x",
                "",
            ] {
                ask(&format!("limit={limit}")).await.problem(422, "http/invalid");
            }
            for cursor in ["x", "%20", "====", "AAAA", &"A".repeat(33), &"A".repeat(10_000)] {
                ask(&format!("cursor={cursor}")).await.problem(422, "http/invalid");
            }
            for query in ["nonsense=1", "limit=1&limit=2", "limit[]=1"] {
                ask(query).await.problem(422, "http/invalid");
            }
            ask("limit=1").await.must(200);
            ask("limit=100").await.must(200);
            // A cursor that somebody made up names a place in the list all the same.
            ask(&format!("cursor={foreign_cursor}")).await.must(200);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn if_match_holds_a_version_or_the_request_is_unreadable() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let race = race::open(app, &organiser, 1, json!({})).await;
        let edit =
            |value: &[u8]| app.patch(race.clone(), json!({ "title": "x" })).by(&organiser).header("if-match", value);
        for rubbish in ["", "x", "\"\"", "\"1\", \"2\"", "1.0", "99999999999999999999", "한글", "W/"] {
            edit(rubbish.as_bytes()).await.problem(400, "http/unreadable");
        }
        edit(b"\xff\xfe").await.problem(400, "http/unreadable");
        for stale in ["0", "-1", "\"2\"", "9223372036854775807"] {
            edit(stale.as_bytes()).await.problem(412, "http/version");
        }
        assert_eq!(app.get(race.clone()).await.must(200).number("version"), 1);
        edit(b"*").await.must(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_has_an_id_that_is_the_clients_where_it_is_a_plain_one() {
    yards(async |app| {
        let ask = |id: &[u8]| app.get("/health/live").header("x-request-id", id);
        for plain in ["abcdefgh", "0190b2a4-0000-7000-8000-000000000000", &"a".repeat(64)] {
            assert_eq!(ask(plain.as_bytes()).await.header("x-request-id"), plain);
        }
        for rubbish in ["", "short", "has space here", "<script>alert(1)</script>", "한글한글한글", &"a".repeat(65)]
        {
            let given = ask(rubbish.as_bytes()).await.header("x-request-id").to_owned();
            assert!(given != rubbish && uuid::Uuid::try_parse(&given).is_ok(), "{rubbish}: {given}");
        }
        let unknown = app.get("/nothing").header("x-request-id", "my-own-id-1").await.problem(404, "gateway/no-route");
        assert_eq!(unknown.text("request_id"), "my-own-id-1");
    })
    .await;
}
