//! The pages as a browser without script walks through them: links, forms, a cookie.

mod tab;

use axum::http::StatusCode;
use serde_json::json;

use self::tab::Tab;
use super::race;
use crate::support::app::{App, PASSWORD, yards};

/// A race whose way to the bib has every step.
async fn race_of(app: &App, title: &str) -> (String, crate::support::app::Person) {
    let (organiser, _) = app.organiser().await;
    let changes = json!({
        "title": title, "terms": "규칙을 지킵니다.",
        "souvenirs": [{ "name": "티셔츠", "sizes": [{ "size": "M", "stock": 5 }] }],
    });
    let race = race::make(app, &organiser, 1, changes).await.text("id");
    (race, organiser)
}

/// A tab in which somebody new signed up.
async fn signed_up<'a>(app: &'a App, name: &str) -> Tab<'a> {
    let mut tab = Tab::new(app, "ko");
    tab.get("/sign-up?next=/races").await;
    let email = format!("{name}@example.com");
    let fields = [
        ("username", name),
        ("password", PASSWORD),
        ("name", "김하늘"),
        ("nickname", name),
        ("email", &email),
        ("next", "/races"),
    ];
    let at = tab.send("/sign-up", &fields).await;
    assert_eq!(at.path, "/races", "{}", at.html);
    tab
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_takes_a_place_and_pays_without_script() {
    yards(async |app| {
        let (race, _) = race_of(app, "한강 달빛 마라톤").await;
        let mut tab = signed_up(app, "haneul01").await;
        assert!(tab.get("/").await.html.contains("한강 달빛 마라톤"));
        let page = tab.get(&format!("/races/{race}")).await;
        let key = page.value_of("key");
        let claim = format!("/races/{race}/claim");
        let held = tab.send(&claim, &[("course", "km10"), ("key", &key)]).await;
        assert!(held.path.starts_with("/registrations/"), "{}", held.html);
        let again = tab.send(&claim, &[("course", "km10"), ("key", &key)]).await;
        assert_eq!(again.path, held.path, "a form sent twice counts once");

        let step = |name: &str| format!("{}/steps/{name}", held.path);
        let version = again.value_of("terms_version");
        let page = tab.send(&step("terms"), &[("agreed", "1"), ("terms_version", &version)]).await;
        let choice = page.value_of("choice");
        let page = tab.send(&step("souvenir"), &[("choice", &choice)]).await;
        assert!(page.html.contains("name=\"recipient\""), "{}", page.html);
        let wrong = [("recipient", "김하늘"), ("phone", "없음"), ("postcode", "04524"), ("line1", "세종대로 110")];
        let page = tab.send(&step("address"), &wrong).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(page.html.contains("aria-invalid=\"true\"") && page.html.contains("세종대로 110"), "{}", page.html);
        let right =
            [("recipient", "김하늘"), ("phone", "010-1234-5678"), ("postcode", "04524"), ("line1", "세종대로 110")];
        tab.send(&step("address"), &right).await;
        let back = tab.get(&format!("{}?step=souvenir", held.path)).await;
        assert!(back.html.contains("티셔츠") && back.html.contains(" checked"), "{}", back.html);
        let pay = tab.send(&step("payment"), &[]).await;
        assert!(pay.path.starts_with("/pay/") && pay.html.contains("30,000"), "{}", pay.html);
        tab.send(&pay.path, &[("outcome", "approve")]).await;
        let ticket = tab.until(&held.path, "qr.png").await;
        assert!(ticket.html.contains("배번"), "{}", ticket.html);
        for file in ["qr.png", "calendar.ics"] {
            assert_eq!(tab.get(&format!("{}/{file}", held.path)).await.status, StatusCode::OK);
        }
        let why = tab.get(&format!("/races/{race}/why?index=1")).await;
        assert!(why.html.contains("✓"), "{}", why.html);

        // The next one comes too late and is told his number.
        let mut late = signed_up(app, "bada02").await;
        late.get(&format!("/races/{race}")).await;
        let refused = late.send(&claim, &[("course", "km10")]).await;
        assert!(refused.path.contains("/why?index="), "{}", refused.path);
        assert!(refused.html.contains("2번째") && refused.html.contains("✓"), "{}", refused.html);

        // And leaves with what the page had promised.
        assert!(late.get(&held.path).await.status == StatusCode::NOT_FOUND, "a place is shown to its owner only");
        let leave = tab.get(&format!("{}/leave", held.path)).await;
        let left = tab.send(&format!("{}/leave", held.path), &[]).await;
        assert_eq!(left.path, held.path);
        let ended = tab.until(&held.path, "badge cancelled").await;
        for page in [&ticket, &leave, &ended] {
            assert!(!page.html.contains("무료"), "no money back is not a price: {}", page.html);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_forms_of_this_session_are_taken() {
    yards(async |app| {
        let mut tab = signed_up(app, "haneul03").await;
        let mut other = signed_up(app, "haneul04").await;
        let change = [("name", "남의 손"), ("nickname", "stolen"), ("email", "x@example.com")];
        tab.get("/account").await;
        let own = tab.token.clone();
        for token in [String::new(), "00".repeat(32), other.token.clone()] {
            tab.token = token;
            let refused = tab.send("/account", &change).await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN);
        }
        tab.token = own;
        for origin in ["https://evil.example", "null"] {
            tab.origin = Some(origin.to_owned());
            assert_eq!(tab.send("/account", &change).await.status, StatusCode::FORBIDDEN, "from {origin}");
        }
        tab.origin = None;
        assert!(!tab.get("/me").await.html.contains("stolen"));
        assert_eq!(tab.send("/account", &change).await.status, StatusCode::OK);
        assert!(tab.get("/me").await.html.contains("stolen"));

        // A cookie that was changed is nobody's, and so is one of a session that was logged out.
        let kept = other.cookie.clone();
        let mut bent = kept.clone();
        let last = bent.pop().unwrap();
        bent.push(if last == 'A' { 'B' } else { 'A' });
        other.cookie = bent;
        assert_eq!(other.get("/me").await.path, "/login?next=%2Fme");
        other.cookie = kept.clone();
        other.get("/me").await;
        other.send("/logout", &[]).await;
        other.cookie = kept;
        assert_eq!(other.get("/me").await.path, "/login?next=%2Fme");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tabs_renew_a_sign_in_at_once_and_both_stay_in() {
    use crate::support::app::yards_with;
    yards_with(&[("MADANG__IDENTITY__ACCESS_TOKEN_S", "10")], async |app| {
        let tab = signed_up(app, "haneul05").await;
        // As the cookie was, so in both tabs.
        let (mut one, mut two) = (tab.clone(), tab.clone());
        let ended = app.yard.clock().now_ms() + 10_500;
        crate::support::wait::until_so("the access token ends", std::time::Duration::from_secs(20), async || {
            app.yard.clock().now_ms() > ended
        })
        .await;
        let (first, second) = tokio::join!(one.get("/me"), two.get("/me"));
        assert_eq!((first.path.as_str(), second.path.as_str()), ("/me", "/me"));
        assert_eq!(one.get("/me").await.path, "/me");
        assert_eq!(two.get("/me").await.path, "/me");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_write_is_text() {
    yards(async |app| {
        let title = "<script>alert('x')</script>\" onload=\"x";
        let (race, _) = race_of(app, title).await;
        let mut tab = signed_up(app, "haneul06").await;
        for path in ["/", "/races", &format!("/races/{race}"), &format!("/races?q={}", "%3Cscript%3E")] {
            let page = tab.get(path).await;
            assert!(!page.html.contains("<script>") && !page.html.contains("\" onload"), "{path}: {}", page.html);
        }
        let page = tab.get("/").await;
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
        let elsewhere = tab.get("/login?next=//evil.example").await;
        assert_eq!(elsewhere.value_of("next"), "/");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_get_pages_for_problems_and_clients_problems() {
    yards(async |app| {
        let mut tab = Tab::new(app, "en");
        for path in ["/nowhere", "/api/v1/nowhere", "/races/nothing", "/races/0190a1b2-0000-7000-8000-000000000000"] {
            let page = tab.get(path).await;
            assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}");
            assert!(page.html.contains("There is no such page") && page.html.contains("lang=\"en\""), "{}", page.html);
        }
        let problem = app.get("/nowhere").await;
        assert_eq!(problem.code(), "gateway/no-route");
        let css = tab.get("/").await.link_to(".css");
        let asset = tab.get(&css).await;
        assert!(asset.headers["cache-control"].to_str().unwrap().contains("immutable"));
        assert_eq!(tab.get("/assets/madang.000000000000.css").await.status, StatusCode::NOT_FOUND);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_there_in_both_languages() {
    yards(async |app| {
        let (race, organiser) = race_of(app, "Han River Run").await;
        let admin = app.admin().await;
        let claimed = app.post(format!("/api/v1/races/{race}/registrations"), json!({})).by(&organiser).await.must(201);
        let registration = claimed.text("id");
        let paths = |own: bool| {
            let mut paths: Vec<String> = [
                "/",
                "/races",
                "/me",
                "/account",
                "/account/organiser",
                "/registrations",
                "/inbox",
                "/organise",
                "/organise/new",
            ]
            .map(str::to_owned)
            .into();
            paths.push(format!("/races/{race}"));
            paths.push(format!("/races/{race}/why?index=1"));
            paths.push(format!("/races/{race}/why"));
            for below in ["", "/edit", "/registrants", "/registrants.csv"] {
                paths.push(format!("/organise/{race}{below}"));
            }
            if own {
                paths.push(format!("/registrations/{registration}"));
                paths.push(format!("/registrations/{registration}/leave"));
            } else {
                paths.extend(["/admin", "/admin/applications", "/admin/sagas"].map(str::to_owned));
            }
            paths
        };
        for language in ["ko", "en"] {
            let mut nobody = Tab::new(app, language);
            for path in ["/login", "/sign-up"] {
                assert_eq!(nobody.get(path).await.status, StatusCode::OK);
            }
            for (person, own) in [(&organiser, true), (&admin, false)] {
                let mut tab = Tab::new(app, language);
                tab.login(&person.username).await;
                tab.send("/language", &[("language", language), ("back", "/")]).await;
                for path in paths(own) {
                    let page = tab.get(&path).await;
                    assert_eq!((page.status, page.path.as_str()), (StatusCode::OK, path.as_str()), "{}", page.html);
                    let is_page = !path.ends_with(".csv");
                    assert!(!is_page || page.html.contains(&format!("<html lang=\"{language}\"")), "{path}");
                    assert!(!page.html.contains("{}") && !page.html.contains("{{"), "{path}: {}", page.html);
                }
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organiser_makes_edits_and_handles_a_race() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let mut tab = Tab::new(app, "ko");
        tab.login(&organiser.username).await;
        tab.get("/organise/new").await;
        let mut fields = vec![
            ("title", "가을 달리기"),
            ("place", "서울숲"),
            ("race_at", "2031-10-03T09:00"),
            ("opens_at", "2031-09-01T10:00"),
            ("closes_at", "2031-08-01T10:00"),
            ("hold_s", "600"),
            ("waitlist_hold_s", "86400"),
            ("return_to", "line"),
            ("souvenir_rule", "optional"),
            ("eligibility.verified", "none"),
            ("courses[0].code", "km10"),
            ("courses[0].type", "km10"),
            ("courses[0].capacity", "100"),
            ("courses[0].fee_won", "30,000"),
            ("souvenirs[0].name", "티셔츠"),
            ("souvenirs[0].sizes", "S 10, M 20"),
            ("act", "save"),
        ];
        let wrong = tab.send("/organise/new", &fields).await;
        assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(wrong.html.contains("가을 달리기") && wrong.html.contains("closes_at-wrong"), "{}", wrong.html);
        fields.retain(|(name, _)| *name != "closes_at");
        fields.push(("closes_at", "2031-09-20T10:00"));
        let mut preview = fields.clone();
        preview.retain(|(name, _)| *name != "act");
        preview.push(("act", "preview"));
        assert!(tab.send("/organise/new", &preview).await.html.contains("<article"));
        let made = tab.send("/organise/new", &fields).await;
        let id = made.path.strip_prefix("/organise/").unwrap_or_else(|| panic!("{}", made.html)).to_owned();
        let race = app.get(format!("/api/v1/races/{id}")).await.must(200);
        assert_eq!(race.body["opens_at"], "2031-09-01T01:00:00.000Z", "Seoul's ten o'clock");
        assert_eq!(race.body["souvenirs"][0]["sizes"][1]["stock"], 20);

        let page = tab.get(&format!("/organise/{id}/edit")).await;
        let version = page.value_of("version");
        fields[0].1 = "겨울 달리기";
        fields.push(("version", &version));
        let edited = tab.send(&format!("/organise/{id}/edit"), &fields).await;
        assert!(edited.html.contains("겨울 달리기") && edited.path == made.path, "{}", edited.html);
        let stale = tab.send(&format!("/organise/{id}/edit"), &fields).await;
        assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED, "somebody else was faster");

        let offer = format!("/organise/{id}/offer");
        tab.send(&offer, &[("capacity", "120"), ("course", "km10"), ("reason", "더 넓은 길")]).await;
        let race = app.get(format!("/api/v1/races/{id}")).await.must(200);
        assert_eq!(race.body["capacity"], 120);
        let guest = app.member().await;
        let assign = [("username", guest.username.as_str()), ("course", "km10"), ("reason", "초청")];
        tab.send(&format!("/organise/{id}/assign"), &assign).await;
        assert!(tab.get(&format!("/organise/{id}/registrants")).await.html.contains(&guest.username));
        let mut stranger = Tab::new(app, "ko");
        stranger.login(&guest.username).await;
        assert_eq!(stranger.get(&format!("/organise/{id}")).await.status, StatusCode::FORBIDDEN);
    })
    .await;
}
