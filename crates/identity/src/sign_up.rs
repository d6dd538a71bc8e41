//! Making an account. Everybody begins as a member.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use garde::Validate;
use http::StatusCode;
use kernel::{Role, UserId};
use platform::audit;
use platform::http::{Body, Language, Problem, ProblemBody, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::events::publish_saved;
use crate::model::{Account, Email, NewPassword, Nickname, PersonName, Username};
use crate::read_me::Me;
use crate::{App, error, password, store};

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignUp {
    #[garde(dive)]
    #[schema(inline)]
    username: Username,
    #[garde(dive)]
    #[schema(inline)]
    password: NewPassword,
    #[garde(dive)]
    #[schema(inline)]
    name: PersonName,
    #[garde(dive)]
    #[schema(inline)]
    nickname: Nickname,
    #[garde(dive)]
    #[schema(inline)]
    email: Email,
}

#[utoipa::path(
    post, path = "/api/v1/users", tag = "identity", summary = "Sign up", request_body = SignUp, security(()),
    responses(
        (status = 201, body = Me),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "The username or nickname is taken"),
    )
)]
pub async fn sign_up(State(app): State<Arc<App>>, body: Body<SignUp>) -> Result<(StatusCode, Json<Me>)> {
    let new = body.value;
    password::check_new("password", &new.password, new.username.as_str())?;
    refuse_taken(&app, new.username.as_str(), new.nickname.as_str()).await?;
    let password_hash = app.hasher.hash(&new.password).await?;
    let account = Draft {
        username: new.username.into(),
        password_hash,
        name: new.name.into(),
        nickname: new.nickname.into(),
        email: Some(new.email.into()),
        role: Role::Member,
    };
    let account = save(&app, account).await?;
    Ok((StatusCode::CREATED, Json(Me::from(account))))
}

/// Refuses names that somebody has. To be asked before hashing, which is dear; the unique keys decide in the end.
pub async fn refuse_taken(app: &App, username: &str, nickname: &str) -> Result<()> {
    let (username_taken, nickname_taken) = store::is_taken(&app.db, username, nickname).await?;
    if username_taken {
        return Err(Problem::new(&error::USERNAME_TAKEN));
    }
    if nickname_taken {
        return Err(Problem::new(&error::NICKNAME_TAKEN));
    }
    Ok(())
}

/// An account about to be.
pub struct Draft {
    pub username: String,
    pub password_hash: String,
    pub name: String,
    pub nickname: String,
    pub email: Option<String>,
    pub role: Role,
}

/// Writes a new account and tells of it.
pub async fn save(app: &App, draft: Draft) -> Result<Account> {
    app.db
        .write(move |tx| {
            Box::pin(async move {
                let account = Account {
                    id: UserId::fresh(),
                    username: draft.username,
                    password_hash: Some(draft.password_hash),
                    name: draft.name,
                    nickname: draft.nickname,
                    email: draft.email,
                    email_verified: false,
                    phone: None,
                    phone_verified: false,
                    identity_verified: false,
                    birth_date: None,
                    language: Language::default(),
                    role: draft.role,
                    banned_ms: None,
                    ban_reason: None,
                    tokens_after_ms: 0,
                    version: 1,
                    created_ms: tx.now_ms().await?,
                };
                store::insert_account(tx, &account, None).await?;
                if account.role != Role::Member {
                    // Nobody with an account gives it: whoever may open the yard's socket does.
                    let entry = audit::Entry {
                        actor: None,
                        action: "user.role",
                        subject: account.id.to_string(),
                        reason: None,
                        before: Value::Null,
                        after: json!({ "role": account.role }),
                    };
                    audit::record(tx, entry).await?;
                }
                publish_saved(tx, &account, Some(account.id)).await?;
                Ok(account)
            })
        })
        .await
}
