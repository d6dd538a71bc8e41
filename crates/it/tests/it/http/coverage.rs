//! Nobody does what is not his: every operation of the OpenAPI document is broken into here, or named as public.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use serde_json::{Value, json};

use super::{notices, pay, race, registration};
use crate::support::app::{App, Ask, Person, yards};

/// Who gets past the door of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    /// Whoever has a token, a rehearsal's people too.
    Claimants,
    Members,
    Companies,
    Managers,
    Admins,
}

/// What the operation's `{id}` is of, and what somebody hears who passed the door but whose it is not.
#[derive(Clone, Copy, Debug)]
enum Thing {
    None,
    /// Whoever passes the door may touch anybody's.
    Application,
    User,
    /// Theirs only.
    Session(Refusal),
    Race(Refusal),
    /// A race of a rehearsal's people only.
    HiddenRace(Refusal),
    Registration(Refusal),
    Rehearsal(Refusal),
    Payment(Refusal),
    Notice(Refusal),
    /// Managers read anybody's.
    PaymentToRead(Refusal),
    /// An admin's, who finds none.
    Saga,
}

type Refusal = (u16, &'static str);

const FORBIDDEN: Refusal = (403, "auth/role");
const MISSING: Refusal = (404, "http/not-found");

/// What anybody may ask, signed in or not.
const PUBLIC: [&str; 27] = [
    "GET /.well-known/jwks.json",
    "GET /api/v1/races",
    "GET /api/v1/races/{id}",
    "GET /api/v1/races/{id}/offer",
    "GET /api/v1/races/{id}/offer/checkpoint",
    "GET /api/v1/races/{id}/offer/keys",
    "GET /api/v1/races/{id}/offer/log",
    "GET /api/v1/races/{id}/offer/logs/{k}/checkpoint",
    "GET /api/v1/races/{id}/offer/logs/{k}/keys",
    "GET /api/v1/races/{id}/offer/logs/{k}/log",
    "GET /api/v1/races/{id}/offer/logs/{k}/receipts/{index}",
    "GET /api/v1/races/{id}/offer/logs/{k}/rules/{sha}",
    "GET /api/v1/races/{id}/offer/logs/{k}/tile/{level}/{n}",
    "GET /api/v1/races/{id}/offer/receipts/{index}",
    "GET /api/v1/races/{id}/offer/rules/{sha}",
    "GET /api/v1/races/{id}/offer/tile/{level}/{n}",
    "GET /api/v1/races/{id}/stream",
    "GET /api/v1/sandbox/payments/{id}",
    "GET /api/v1/users/availability",
    "GET /health/live",
    "GET /health/ready",
    "GET /metrics",
    "POST /api/v1/auth/login",
    "POST /api/v1/auth/refresh",
    "POST /api/v1/payments/webhooks/{provider}",
    "POST /api/v1/sandbox/payments/{id}",
    "POST /api/v1/users",
];

/// What only some may.
const GUARDED: [(&str, Door, Thing); 61] = [
    ("DELETE /api/v1/notifications/{id}", Door::Members, Thing::Notice(MISSING)),
    ("DELETE /api/v1/races/{id}", Door::Companies, Thing::Race(FORBIDDEN)),
    ("DELETE /api/v1/registrations/{id}", Door::Claimants, Thing::Registration(MISSING)),
    ("DELETE /api/v1/users/me/sessions", Door::Members, Thing::None),
    ("DELETE /api/v1/users/me/sessions/{id}", Door::Members, Thing::Session(MISSING)),
    ("DELETE /api/v1/users/{id}/sessions", Door::Admins, Thing::User),
    ("GET /api/v1/admin/deliveries", Door::Admins, Thing::None),
    ("GET /api/v1/admin/notice-kinds", Door::Admins, Thing::None),
    ("GET /api/v1/admin/reconciliations", Door::Admins, Thing::None),
    ("GET /api/v1/admin/rehearsals/{id}/tokens", Door::Companies, Thing::Rehearsal(MISSING)),
    ("GET /api/v1/admin/sagas/races", Door::Admins, Thing::None),
    ("GET /api/v1/admin/sagas/races/{id}", Door::Admins, Thing::Saga),
    ("GET /api/v1/company-applications", Door::Admins, Thing::None),
    ("GET /api/v1/notification-preferences", Door::Members, Thing::None),
    ("GET /api/v1/notifications", Door::Members, Thing::None),
    ("GET /api/v1/notifications/stream", Door::Members, Thing::None),
    ("GET /api/v1/notifications/unread-count", Door::Members, Thing::None),
    ("GET /api/v1/payments/{id}", Door::Claimants, Thing::PaymentToRead(MISSING)),
    ("GET /api/v1/races/{id}/funnel", Door::Companies, Thing::Race(MISSING)),
    ("GET /api/v1/races/{id}/messages", Door::Companies, Thing::Race(FORBIDDEN)),
    ("GET /api/v1/races/{id}/registrations", Door::Companies, Thing::Race(MISSING)),
    ("GET /api/v1/registrations", Door::Claimants, Thing::None),
    ("GET /api/v1/registrations/{id}", Door::Claimants, Thing::Registration(MISSING)),
    ("GET /api/v1/registrations/{id}/calendar.ics", Door::Claimants, Thing::Registration(MISSING)),
    ("GET /api/v1/registrations/{id}/qr.png", Door::Claimants, Thing::Registration(MISSING)),
    ("GET /api/v1/registrations/{id}/refund-quote", Door::Claimants, Thing::Registration(MISSING)),
    ("GET /api/v1/users", Door::Managers, Thing::None),
    ("GET /api/v1/users/me", Door::Members, Thing::None),
    ("GET /api/v1/users/me/company-applications", Door::Members, Thing::None),
    ("GET /api/v1/users/me/sessions", Door::Members, Thing::None),
    ("PATCH /api/v1/races/{id}", Door::Companies, Thing::Race(FORBIDDEN)),
    ("PATCH /api/v1/users/me", Door::Members, Thing::None),
    // No delivery has the id of a race.
    ("POST /api/v1/admin/deliveries/{id}/resend", Door::Admins, Thing::Saga),
    ("POST /api/v1/admin/notice-kinds/{code}/preview", Door::Admins, Thing::None),
    ("POST /api/v1/admin/reconciliations", Door::Admins, Thing::None),
    ("POST /api/v1/admin/rehearsals", Door::Companies, Thing::None),
    ("POST /api/v1/admin/sagas/races/{id}/retry", Door::Admins, Thing::Saga),
    ("POST /api/v1/admin/sagas/races/{id}/undo", Door::Admins, Thing::Saga),
    ("POST /api/v1/auth/logout", Door::Members, Thing::None),
    ("POST /api/v1/company-applications", Door::Members, Thing::None),
    ("POST /api/v1/payments/{id}/confirm", Door::Claimants, Thing::Payment(MISSING)),
    ("POST /api/v1/races", Door::Companies, Thing::None),
    ("POST /api/v1/races/{id}/cancellation", Door::Companies, Thing::Race(FORBIDDEN)),
    ("POST /api/v1/races/{id}/messages", Door::Companies, Thing::Race(FORBIDDEN)),
    ("POST /api/v1/races/{id}/offer/assignments", Door::Companies, Thing::Race(FORBIDDEN)),
    ("POST /api/v1/races/{id}/registrations", Door::Claimants, Thing::HiddenRace(MISSING)),
    ("POST /api/v1/registrations/{id}/cancellation", Door::Companies, Thing::Registration(MISSING)),
    ("PUT /api/v1/admin/notice-kinds/{code}", Door::Admins, Thing::None),
    ("PUT /api/v1/company-applications/{id}/decision", Door::Admins, Thing::Application),
    ("PUT /api/v1/notification-preferences", Door::Members, Thing::None),
    ("PUT /api/v1/notifications/read", Door::Members, Thing::None),
    ("PUT /api/v1/notifications/{id}/read", Door::Members, Thing::Notice(MISSING)),
    ("PUT /api/v1/races/{id}/offer", Door::Companies, Thing::Race(FORBIDDEN)),
    ("PUT /api/v1/registrations/{id}/steps/address", Door::Claimants, Thing::Registration(MISSING)),
    ("PUT /api/v1/registrations/{id}/steps/course", Door::Claimants, Thing::Registration(MISSING)),
    ("PUT /api/v1/registrations/{id}/steps/payment", Door::Claimants, Thing::Registration(MISSING)),
    ("PUT /api/v1/registrations/{id}/steps/souvenir", Door::Claimants, Thing::Registration(MISSING)),
    ("PUT /api/v1/registrations/{id}/steps/terms", Door::Claimants, Thing::Registration(MISSING)),
    ("PUT /api/v1/users/me/password", Door::Members, Thing::None),
    ("PUT /api/v1/users/{id}/ban", Door::Managers, Thing::User),
    ("PUT /api/v1/users/{id}/role", Door::Admins, Thing::User),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_is_guarded_or_named_public() {
    yards(async |app| {
        let operations = operations(app).await;
        let documented: BTreeSet<&str> = operations.keys().map(String::as_str).collect();
        let tested: BTreeSet<&str> = PUBLIC.into_iter().chain(GUARDED.iter().map(|guard| guard.0)).collect();
        assert_eq!(documented, tested, "an operation that nobody tried to break into, or one that is gone");
        for (name, operation) in &operations {
            let public = PUBLIC.contains(&name.as_str());
            let security = if public { json!([{}]) } else { json!([{ "bearer": [] }]) };
            assert_eq!(operation["security"], security, "{name}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_says_what_it_is() {
    yards(async |app| {
        let document = app.get("/openapi.json").await.must(200);
        assert_eq!(document.text("openapi"), "3.1.0");
        let mut ids = BTreeMap::new();
        for (name, operation) in &operations(app).await {
            let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{name} has no operationId"));
            assert_eq!(ids.insert(id.to_owned(), name.clone()), None, "{name}: {id} is another operation's too");
            assert_eq!(operation["tags"].as_array().map(Vec::len), Some(1), "{name} has one tag");
            let summary = operation["summary"].as_str().unwrap_or_default();
            assert!(!summary.is_empty(), "{name} has no summary");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')), "{name} never succeeds");
            for (status, response) in responses.iter().filter(|(status, _)| !status.starts_with('2')) {
                let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(schema, "#/components/schemas/Problem", "{name} {status}");
            }
            for name_in_path in name.split(['{', '}']).skip(1).step_by(2) {
                let named = |parameter: &Value| parameter["name"] == name_in_path && parameter["in"] == "path";
                assert!(
                    operation["parameters"].as_array().is_some_and(|all| all.iter().any(named)),
                    "{name}: {name_in_path}"
                );
            }
        }
        dangling(&document.body, &document.body);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_past_a_door_that_is_not_his() {
    yards(async |app| {
        let world = World::open(app).await;
        let before = world.seen(app).await;
        for (name, door, thing) in GUARDED {
            world.ask(app, name, thing).await.problem(401, "auth/required");
            world.ask(app, name, thing).bearer("eyJ.not.one").await.problem(401, "auth/invalid");
            for (role, person, passes) in world.people(door) {
                if !passes {
                    let answer = world.ask(app, name, thing).by(person).await;
                    assert_eq!((answer.status, answer.code()), FORBIDDEN, "{name} by a {role}: {}", answer.show());
                }
            }
        }
        assert_eq!(world.seen(app).await, before, "something changed");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_touches_what_is_anothers() {
    yards(async |app| {
        let world = World::open(app).await;
        let before = world.seen(app).await;
        for (name, door, thing) in GUARDED {
            let Some(refusal) = thing.refusal() else { continue };
            for (role, person, passes) in world.people(door) {
                let helps = role == "manager" && matches!(thing, Thing::PaymentToRead(_));
                // Admins may all; a rehearsal's people are told apart in a test of their own.
                if passes && !helps && !matches!(role, "admin" | "rehearsal") {
                    let answer = world.ask(app, name, thing).by(person).await;
                    assert_eq!((answer.status, answer.code()), refusal, "{name} by a {role}: {}", answer.show());
                }
            }
        }
        assert_eq!(world.seen(app).await, before, "something changed");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_public_answers_everybody() {
    yards(async |app| {
        let world = World::open(app).await;
        for name in PUBLIC {
            let thing = match name {
                _ if name.contains("/races/{id}") => Thing::Race(MISSING),
                _ if name.contains("/payments/{id}") => Thing::Payment(MISSING),
                _ => Thing::None,
            };
            let plain = world.ask(app, name, thing).await;
            let with_rubbish = world.ask(app, name, thing).bearer("eyJ.not.one").await;
            assert!(!matches!(plain.status, 403 | 405) && plain.code() != "auth/required", "{name}: {}", plain.show());
            assert_eq!(plain.status, with_rubbish.status, "{name}: {}", with_rubbish.show());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rehearsals_people_claim_in_their_race_and_nothing_else() {
    yards(async |app| {
        let world = World::open(app).await;
        for (name, door, thing) in GUARDED {
            let answer = world.ask(app, name, thing).by(&world.rehearsed).await;
            let is_list_of_mine = name == "GET /api/v1/registrations";
            let is_own_race = matches!(thing, Thing::HiddenRace(_));
            match door {
                Door::Claimants if is_list_of_mine => assert_eq!(answer.items().len(), 0),
                Door::Claimants if is_own_race => drop(answer.must(201)),
                Door::Claimants => drop(answer.problem(404, "http/not-found")),
                _ => drop(answer.problem(403, "auth/role")),
            }
        }
        let elsewhere = format!("/api/v1/races/{}", world.race);
        race::claim(app, &elsewhere, &world.rehearsed).await.problem(403, "auth/role");
    })
    .await;
}

/// `METHOD path` → operation, for all of the document.
async fn operations(app: &App) -> BTreeMap<String, Value> {
    let document = app.get("/openapi.json").await.must(200).body;
    let mut found = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            found.insert(format!("{} {path}", method.to_uppercase()), operation.clone());
        }
    }
    found
}

/// Fails at a reference to a part that the document does not have.
fn dangling(document: &Value, part: &Value) {
    match part {
        Value::Object(members) => {
            if let Some(Value::String(target)) = members.get("$ref") {
                let found = document.pointer(target.trim_start_matches('#'));
                assert!(found.is_some(), "{target} is not in the document");
            }
            members.values().for_each(|member| dangling(document, member));
        }
        Value::Array(items) => items.iter().for_each(|item| dangling(document, item)),
        _ => {}
    }
}

impl Thing {
    /// What a stranger hears.
    fn refusal(self) -> Option<Refusal> {
        match self {
            Thing::None | Thing::Application | Thing::User | Thing::Saga => None,
            Thing::Session(refusal)
            | Thing::Race(refusal)
            | Thing::HiddenRace(refusal)
            | Thing::Registration(refusal)
            | Thing::Rehearsal(refusal)
            | Thing::Notice(refusal)
            | Thing::Payment(refusal)
            | Thing::PaymentToRead(refusal) => Some(refusal),
        }
    }
}

/// A yard with one of everything, and with people to whom it does not belong.
struct World {
    owner: Person,
    member: Person,
    company: Person,
    manager: Person,
    admin: Person,
    rehearsed: Person,
    victim: Person,
    session: String,
    race: String,
    hidden_race: String,
    registration: String,
    application: String,
    rehearsal: String,
    payment: String,
    notice: String,
}

impl World {
    async fn open(app: &App) -> World {
        let (owner, admin) = app.organiser().await;
        let victim = app.member().await;
        let race = race::make(app, &owner, 5, json!({})).await.text("id");
        let registration = race::claim(app, &format!("/api/v1/races/{race}"), &victim).await.must(201).text("id");
        let notice = notices::until_told(app, &victim, "place_held").await["id"].as_str().unwrap().to_owned();
        let sessions = app.get("/api/v1/users/me/sessions").by(&victim).await.must(200);
        let application = json!({ "name": "한강러닝클럽", "description": "달립니다" });
        let application = app.post("/api/v1/company-applications", application).by(&victim).await.must(201).text("id");
        let payment = pay::open(app, &victim, &registration).await.payment_id.to_string();
        let rehearsal = json!({ "people": 1, "capacity": 1 });
        let rehearsal = app.post("/api/v1/admin/rehearsals", rehearsal).by(&owner).await.must(201);
        let tokens = app.get(rehearsal.text("token_url")).by(&owner).await.must(200);
        let rehearsed = Person {
            id: tokens.text("user_id"),
            username: String::new(),
            access: tokens.text("token"),
            refresh: String::new(),
        };
        World {
            member: app.member().await,
            company: app.in_role(&admin, "company").await,
            manager: app.in_role(&admin, "manager").await,
            session: sessions.items()[0]["id"].as_str().unwrap().to_owned(),
            rehearsal: rehearsal.text("rehearsal_id"),
            hidden_race: rehearsal.text("race_id"),
            rehearsed,
            owner,
            admin,
            victim,
            race,
            registration,
            application,
            payment,
            notice,
        }
    }

    /// Everybody to whom nothing belongs, with whether the door lets him in.
    fn people(&self, door: Door) -> [(&'static str, &Person, bool); 5] {
        let members = matches!(door, Door::Claimants | Door::Members);
        [
            ("rehearsal", &self.rehearsed, door == Door::Claimants),
            ("member", &self.member, members),
            ("company", &self.company, members || door == Door::Companies),
            ("manager", &self.manager, members || door == Door::Managers),
            ("admin", &self.admin, true),
        ]
    }

    /// The operation on something of the victim's or the owner's, with a body that would do.
    fn ask<'a>(&self, app: &'a App, name: &str, thing: Thing) -> Ask<'a> {
        let id = match thing {
            Thing::None => "",
            Thing::Application => &self.application,
            Thing::User => &self.victim.id,
            Thing::Session(_) => &self.session,
            // No saga has the id of a race.
            Thing::Race(_) | Thing::Saga => &self.race,
            Thing::HiddenRace(_) => &self.hidden_race,
            Thing::Registration(_) => &self.registration,
            Thing::Rehearsal(_) => &self.rehearsal,
            Thing::Payment(_) | Thing::PaymentToRead(_) => &self.payment,
            Thing::Notice(_) => &self.notice,
        };
        let (method, path) = name.split_once(' ').unwrap();
        let path = path
            .replace("{id}", id)
            .replace("{provider}", "sandbox")
            .replace("{code}", "confirmed")
            .replace("{k}", "1")
            .replace("{index}", "0")
            .replace("{level}/{n}", "0/000.p/1");
        let ask = app.ask(Method::from_bytes(method.as_bytes()).unwrap(), path.replace("{sha}", &"0".repeat(64)));
        match name {
            "PATCH /api/v1/races/{id}" => ask.json(&json!({ "title": "taken over" })),
            "POST /api/v1/registrations/{id}/cancellation" => ask.json(&json!({ "reason": "because" })),
            "PUT /api/v1/registrations/{id}/steps/address" => ask.json(&registration::address()),
            "PUT /api/v1/registrations/{id}/steps/course" => ask.json(&json!({ "course": "km10" })),
            "PUT /api/v1/registrations/{id}/steps/payment" => ask.json(&json!({ "provider": "sandbox" })),
            "PUT /api/v1/registrations/{id}/steps/souvenir" => ask.json(&json!({ "souvenir_id": null, "size": null })),
            "PUT /api/v1/registrations/{id}/steps/terms" => ask.json(&json!({ "agreed": true, "terms_version": 1 })),
            "POST /api/v1/races/{id}/messages" => ask.json(&json!({ "title": "hello", "body": "runners" })),
            "POST /api/v1/races/{id}/cancellation" => ask.json(&json!({ "reason": "because" })),
            "PUT /api/v1/races/{id}/offer" => ask.json(&json!({ "paused": true, "reason": "because" })),
            "POST /api/v1/races/{id}/offer/assignments" => {
                ask.json(&json!({ "username": self.member.username, "reason": "because" }))
            }
            _ if method == "GET" || method == "DELETE" => ask,
            "PUT /api/v1/notification-preferences" => ask.json(&json!({ "items": [] })),
            _ => ask.json(&json!({})),
        }
    }

    /// What the owners see of their own.
    async fn seen(&self, app: &App) -> Vec<Value> {
        let mut seen = Vec::new();
        for (path, person) in [
            (format!("/api/v1/races/{}", self.race), &self.owner),
            (format!("/api/v1/races/{}/offer", self.race), &self.owner),
            (format!("/api/v1/races/{}/offer", self.hidden_race), &self.owner),
            (format!("/api/v1/registrations/{}", self.registration), &self.victim),
            (format!("/api/v1/payments/{}", self.payment), &self.victim),
            ("/api/v1/notifications".to_owned(), &self.victim),
            ("/api/v1/users/me".to_owned(), &self.victim),
            ("/api/v1/users/me/company-applications".to_owned(), &self.victim),
        ] {
            let mut body = app.get(path).by(person).await.must(200).body;
            body.as_object_mut().unwrap().remove("server_time");
            seen.push(body);
        }
        seen
    }
}
