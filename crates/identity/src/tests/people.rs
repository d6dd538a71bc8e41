//! What identity answers to other parts, a rehearsal's people among it.

use std::collections::HashSet;

use kernel::contracts::identity::{EligibilityFacts, FindUser, MintPeople, MintedTokens, RevokedSince};
use kernel::{RaceId, UserId};
use serde_json::json;
use uuid::Uuid;

use super::{PASSWORD, Yard};

fn mint(rehearsal_id: Uuid, people: u32, expires_ms: i64) -> MintPeople {
    MintPeople { rehearsal_id, race_id: RaceId(Uuid::from_u128(5)), people, expires_ms }
}

#[tokio::test]
async fn others_find_people_and_what_eligibility_looks_at() {
    for yard in Yard::all().await {
        let (id, tokens) = yard.member("haneul01").await;
        let user_id = UserId(id.parse().expect("an id"));
        let found =
            yard.peers.call(&FindUser { username: "haneul01".into() }).await.expect("an answer").expect("found");
        assert_eq!((found.user_id, found.nickname.as_str()), (user_id, "n-haneul01"));
        assert!(yard.peers.call(&FindUser { username: "nobody01".into() }).await.expect("an answer").is_none());

        let change = json!({"birth_date": "1990-05-17"});
        yard.call(axum::http::Method::PATCH, "/api/v1/users/me", Some(&tokens.access), Some(change)).await.must(200);
        let facts = yard.peers.call(&EligibilityFacts { user_id }).await.expect("an answer").expect("known");
        assert_eq!(facts.birth_date.map(|date| date.to_string()).as_deref(), Some("1990-05-17"));
        assert!(!facts.email_verified && !facts.phone_verified && !facts.identity_verified);
        assert!((facts.created_ms - yard.gate.clock.now_ms()).abs() < 60_000);
        assert!(yard.peers.call(&EligibilityFacts { user_id: UserId::fresh() }).await.expect("an answer").is_none());
    }
}

#[tokio::test]
async fn every_gateway_learns_what_was_revoked() {
    for yard in Yard::all().await {
        let (_, admin) = yard.admin("operator").await;
        let (id, mine) = yard.member("haneul01").await;
        let before_ms = yard.gate.clock.now_ms() - 60_000;
        assert!(yard.peers.call(&RevokedSince { since_ms: before_ms }).await.expect("an answer").is_empty());
        yard.put(&format!("/api/v1/users/{id}/role"), &admin.access, json!({"role": "company"})).await.must(200);
        let mine = super::tokens(&yard.refresh(&mine.refresh).await.must(200));
        yard.delete("/api/v1/users/me/sessions", &mine.access).await.must(204);
        yard.call(axum::http::Method::POST, "/api/v1/auth/logout", Some(&admin.access), None).await.must(204);
        let revoked = yard.peers.call(&RevokedSince { since_ms: before_ms }).await.expect("an answer");
        assert_eq!(revoked.len(), 3);
        assert_eq!(revoked.iter().filter(|entry| entry.session_id.is_some() && entry.user_id.is_none()).count(), 1);
        assert!(revoked[0].at_ms < revoked[1].at_ms, "a person's revocations rise");
        let last_ms = revoked.iter().map(|entry| entry.at_ms).max().expect("some");
        assert!(yard.peers.call(&RevokedSince { since_ms: last_ms + 1 }).await.expect("an answer").is_empty());

        // A process that has just started knows no more than the answer says.
        let fresh = platform::revocation::Revocations::default();
        fresh.apply(&revoked);
        let now_ms = yard.gate.clock.now_ms();
        for token in [&mine.access, &admin.access] {
            assert!(fresh.is_revoked(&yard.gate.verifier.verify(token, now_ms).expect("signed by us")));
        }
        let again = yard.login("haneul01").await;
        let verified = yard.gate.verifier.verify(&again.access, now_ms + 1_000).expect("signed by us");
        assert!(!fresh.is_revoked(&verified));
    }
}

#[tokio::test]
async fn a_rehearsals_people_have_tokens_and_nothing_else() {
    for yard in Yard::all().await {
        let rehearsal_id = Uuid::now_v7();
        let expires_ms = yard.gate.clock.now_ms() + 600_000;
        yard.peers.call(&mint(rehearsal_id, 1_203, expires_ms)).await.expect("made");
        yard.peers.call(&mint(rehearsal_id, 1_203, expires_ms)).await.expect("a repeat makes nobody anew");
        yard.peers.call(&mint(Uuid::now_v7(), 3, expires_ms)).await.expect("another rehearsal");
        assert_eq!(yard.count("account").await, 1_206);
        assert_eq!(yard.count("outbox").await, 0);

        let mut seen = HashSet::new();
        let mut after = None;
        loop {
            let some = yard.peers.call(&MintedTokens { rehearsal_id, after, limit: 500 }).await.expect("tokens");
            let Some(last) = some.last() else { break };
            after = Some(last.user_id);
            for person in some {
                let verified =
                    yard.gate.verifier.verify(&person.token, yard.gate.clock.now_ms()).expect("signed by us");
                assert_eq!(
                    (verified.caller.user, verified.caller.rehearsal),
                    (person.user_id, Some(RaceId(Uuid::from_u128(5))))
                );
                assert!(verified.exp * 1000 <= expires_ms);
                assert!(seen.insert(person.token));
            }
        }
        assert_eq!(seen.len(), 1_203);

        let token = seen.iter().next().expect("a token");
        yard.get("/api/v1/users/me", token).await.must(403);
        yard.call(axum::http::Method::POST, "/api/v1/auth/logout", Some(token), None).await.must(403);
        let (name,) =
            platform::db::Query::one::<(String,)>(&yard.db, "SELECT username FROM account ORDER BY id LIMIT 1", vec![])
                .await
                .expect("a query")
                .expect("a person");
        assert!(name.len() <= 20 && name.starts_with('r'), "{name}");
        yard.try_login(&name, PASSWORD).await.must(401);
        assert!(yard.peers.call(&FindUser { username: name }).await.expect("an answer").is_none());
        let (_, admin) = yard.admin("operator").await;
        let page = yard.get("/api/v1/users", &admin.access).await.must(200).body;
        assert_eq!(page["items"].as_array().map(Vec::len), Some(1));
    }
}

#[tokio::test]
async fn a_rehearsals_people_go_when_it_is_over() {
    for yard in Yard::all().await {
        yard.sign_up("haneul01").await.must(201);
        let now_ms = yard.gate.clock.now_ms();
        yard.peers.call(&mint(Uuid::now_v7(), 1_100, now_ms - 60_000)).await.expect("made");
        yard.peers.call(&mint(Uuid::now_v7(), 10, now_ms + 600_000)).await.expect("made");
        yard.run_jobs().await;
        assert_eq!(yard.count("account").await, 11);
    }
}
