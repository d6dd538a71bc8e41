//! Roles, suspensions, and finding people.

use axum::http::Method;
use futures::future::join_all;
use serde_json::{Value, json};

use super::{PASSWORD, Yard, request, tokens};

const ME: &str = "/api/v1/users/me";

#[tokio::test]
async fn a_role_takes_effect_with_the_next_refresh_and_at_once_against_old_tokens() {
    for yard in Yard::all().await {
        let (_, admin) = yard.admin("operator").await;
        let (id, mine) = yard.member("haneul01").await;
        yard.get("/api/v1/users", &mine.access).await.must(403);
        let path = format!("/api/v1/users/{id}/role");
        let stale =
            request(Method::PUT, &path, Some(&admin.access), Some(json!({"role": "manager"})), &[("if-match", "7")]);
        yard.send(stale).await.must(412);
        let user = yard.put(&path, &admin.access, json!({"role": "manager"})).await.must(200);
        assert_eq!((&user.body["role"], &user.body["version"]), (&json!("manager"), &json!(2)));
        assert_eq!(yard.get(ME, &mine.access).await.must(401).code(), "auth/revoked");

        // In the same millisecond or later, the new token counts.
        let mine = tokens(&yard.refresh(&mine.refresh).await.must(200));
        yard.get("/api/v1/users", &mine.access).await.must(200);
        yard.put(&path, &admin.access, json!({"role": "member"})).await.must(200);
        assert_eq!(yard.get("/api/v1/users", &mine.access).await.must(401).code(), "auth/revoked");
        let mine = tokens(&yard.refresh(&mine.refresh).await.must(200));
        yard.get("/api/v1/users", &mine.access).await.must(403);
        yard.put(&path, &admin.access, json!({"role": "member"})).await.must(200);
        yard.get(ME, &mine.access).await.must(200);

        let told: Vec<Value> =
            yard.events("user.role_changed").await.iter().map(|event| event["role"].clone()).collect();
        assert_eq!(told, ["manager", "member"]);
        assert_eq!(yard.count("audit").await, 3); // The first one made the admin.
    }
}

#[tokio::test]
async fn roles_are_given_by_admins_and_never_to_oneself() {
    for yard in Yard::all().await {
        let (admin_id, admin) = yard.admin("operator").await;
        let (id, _) = yard.member("haneul01").await;
        let role_of = |id: &str| format!("/api/v1/users/{id}/role");
        for role in ["member", "company", "manager"] {
            let (own, tokens) = yard.with_role(&admin, &format!("a{role}"), role).await;
            for id in [&id, &own, &admin_id] {
                let answer = yard.put(&role_of(id), &tokens.access, json!({"role": "admin"})).await.must(403);
                assert_eq!(answer.code(), "auth/role");
            }
        }
        let answer = yard.put(&role_of(&admin_id), &admin.access, json!({"role": "member"})).await.must(403);
        assert_eq!(answer.code(), "identity/own-account");
        yard.put(&role_of(&uuid::Uuid::now_v7().to_string()), &admin.access, json!({"role": "member"})).await.must(404);
        yard.put(&role_of(&id), &admin.access, json!({"role": "god"})).await.must(422);
        yard.call(Method::PUT, &role_of(&id), None, Some(json!({"role": "admin"}))).await.must(401);
    }
}

#[tokio::test]
async fn two_admins_cannot_both_unseat_each_other() {
    for yard in Yard::all().await {
        for round in 0..3 {
            let (one_id, one) = yard.admin(&format!("one{round}")).await;
            let (two_id, two) = yard.admin(&format!("two{round}")).await;
            let unseat = |id: String, access: String| {
                let yard = &yard;
                async move {
                    yard.put(&format!("/api/v1/users/{id}/role"), &access, json!({"role": "member"}))
                        .await
                        .status
                        .as_u16()
                }
            };
            let (first, second) = tokio::join!(unseat(two_id, one.access), unseat(one_id, two.access));
            let mut statuses = [first, second];
            statuses.sort_unstable();
            assert!(statuses == [200, 403] || statuses == [200, 401], "{statuses:?}");
        }
    }
}

#[tokio::test]
async fn a_ban_ends_everything_at_once() {
    for yard in Yard::all().await {
        let (_, admin) = yard.admin("operator").await;
        let (_, manager) = yard.with_role(&admin, "manager1", "manager").await;
        let (id, mine) = yard.member("haneul01").await;
        let path = format!("/api/v1/users/{id}/ban");
        yard.put(&path, &manager.access, json!({"banned": true})).await.must(422);
        let user = yard.put(&path, &manager.access, json!({"banned": true, "reason": "spam"})).await.must(200);
        assert_eq!((&user.body["state"], &user.body["ban_reason"]), (&json!("banned"), &json!("spam")));
        assert_eq!(yard.get(ME, &mine.access).await.must(401).code(), "auth/revoked");
        assert_eq!(yard.refresh(&mine.refresh).await.must(401).code(), "auth/invalid");
        assert_eq!(yard.try_login("haneul01", PASSWORD).await.must(403).code(), "identity/banned");
        assert_eq!(yard.try_login("haneul01", "wrong password").await.must(401).code(), "identity/credentials");
        let again = yard.put(&path, &manager.access, json!({"banned": true, "reason": "spam"})).await.must(200);
        assert_eq!(again.body["version"], user.body["version"]);

        yard.put(&path, &manager.access, json!({"banned": false})).await.must(200);
        yard.refresh(&mine.refresh).await.must(401);
        yard.get(ME, &yard.login("haneul01").await.access).await.must(200);
    }
}

#[tokio::test]
async fn nobody_bans_upwards_or_himself() {
    for yard in Yard::all().await {
        let (admin_id, admin) = yard.admin("operator").await;
        let (other_id, _) = yard.admin("operator2").await;
        let (manager_id, manager) = yard.with_role(&admin, "manager1", "manager").await;
        let (colleague_id, _) = yard.with_role(&admin, "manager2", "manager").await;
        let (_, member) = yard.member("haneul01").await;
        let ban = |id: &str, access: &str| {
            let (path, access, yard) = (format!("/api/v1/users/{id}/ban"), access.to_owned(), &yard);
            async move { yard.put(&path, &access, json!({"banned": true, "reason": "why not"})).await }
        };
        assert_eq!(ban(&admin_id, &manager.access).await.must(403).code(), "identity/rank");
        assert_eq!(ban(&colleague_id, &manager.access).await.must(403).code(), "identity/rank");
        assert_eq!(ban(&manager_id, &manager.access).await.must(403).code(), "identity/own-account");
        assert_eq!(ban(&admin_id, &admin.access).await.must(403).code(), "identity/own-account");
        assert_eq!(ban(&manager_id, &member.access).await.must(403).code(), "auth/role");
        ban(&colleague_id, &admin.access).await.must(200);
        ban(&other_id, &admin.access).await.must(200);
    }
}

#[tokio::test]
async fn an_admin_ends_somebodys_sessions() {
    for yard in Yard::all().await {
        let (_, admin) = yard.admin("operator").await;
        let (id, mine) = yard.member("haneul01").await;
        let path = format!("/api/v1/users/{id}/sessions");
        yard.delete(&path, &mine.access).await.must(403);
        yard.delete(&path, &admin.access).await.must(204);
        yard.get(ME, &mine.access).await.must(401);
        yard.refresh(&mine.refresh).await.must(401);
        assert_eq!(yard.count("audit").await, 2);
        yard.login("haneul01").await;
    }
}

#[tokio::test]
async fn managers_find_people() {
    for yard in Yard::all().await {
        let (_, admin) = yard.admin("operator").await;
        for username in ["runner01", "runner02", "walker01"] {
            yard.sign_up(username).await.must(201);
        }
        let (id, tokens) = yard.member("banned01").await;
        let change = json!({"nickname": "한강달리기", "phone": "010-9999-8888"});
        yard.call(Method::PATCH, ME, Some(&tokens.access), Some(change)).await.must(200);
        yard.put(&format!("/api/v1/users/{id}/ban"), &admin.access, json!({"banned": true, "reason": "spam"}))
            .await
            .must(200);
        let found = |query: &str| {
            let (path, access, yard) = (format!("/api/v1/users?{query}"), &admin.access, &yard);
            async move {
                let page = yard.get(&path, access).await.must(200).body;
                let items = page["items"].as_array().expect("items").clone();
                items.iter().map(|item| item["username"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
            }
        };
        assert_eq!(found("").await, ["banned01", "walker01", "runner02", "runner01", "operator"]);
        assert_eq!(found("q=RUNNER").await, ["runner02", "runner01"]);
        assert_eq!(found("q=%EB%8B%AC%EB%A6%AC").await, ["banned01"], "달리");
        assert_eq!(found("q=9999").await, ["banned01"]);
        assert_eq!(found("q=n-banned01").await, Vec::<String>::new(), "the nickname was changed");
        assert_eq!(found("q=%25").await, Vec::<String>::new());
        assert_eq!(found("role=admin").await, ["operator"]);
        assert_eq!(found("state=banned").await, ["banned01"]);
        assert_eq!(found("state=active&q=01").await, ["walker01", "runner01"]);

        let mut seen = Vec::new();
        let mut cursor = String::new();
        for _ in 0..3 {
            let page = yard.get(&format!("/api/v1/users?limit=2{cursor}"), &admin.access).await.must(200).body;
            seen.extend(page["items"].as_array().expect("items").iter().map(|item| item["id"].to_string()));
            cursor = page["next_cursor"].as_str().map(|next| format!("&cursor={next}")).unwrap_or_default();
        }
        seen.dedup();
        assert_eq!((seen.len(), cursor.as_str()), (5, ""));
        for query in ["limit=0", "limit=101", "limit=x", "cursor=x", "role=god", "state=", "order=name"] {
            yard.get(&format!("/api/v1/users?{query}"), &admin.access).await.must(422);
        }
    }
}

#[tokio::test]
async fn a_login_that_meets_a_role_change_never_keeps_the_old_role() {
    for yard in Yard::all().await {
        let (_, admin) = yard.admin("operator").await;
        let (id, _) = yard.with_role(&admin, "manager1", "manager").await;
        let path = format!("/api/v1/users/{id}/role");
        let change = yard.put(&path, &admin.access, json!({"role": "member"}));
        let logins = join_all((0..4).map(|_| yard.login("manager1")));
        let (changed, logins) = tokio::join!(change, logins);
        changed.must(200);
        for tokens in logins {
            let answer = yard.get("/api/v1/users", &tokens.access).await;
            assert!([401, 403].contains(&answer.status.as_u16()), "a manager's token outlived the role");
        }
    }
}
