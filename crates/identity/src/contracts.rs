//! What identity answers to other parts.

use std::sync::Arc;

use axum::Router;
use kernel::contracts::identity::{
    Eligibility, EligibilityFacts, FindUser, MintPeople, MintedToken, MintedTokens, Revoked, RevokedSince, UserSaved,
};
use kernel::{RaceId, SessionId, UserId};
use platform::http::{Problem, Result, codes};
use platform::peers::answers;
use platform::token::Claims;

use crate::{App, events, store};

/// People made in one transaction; more would hold the writer long.
const PEOPLE_AT_ONCE: u32 = 500;
/// The digits that a username has left for the number.
const PEOPLE_MAX: u32 = 9_999_999;
const TOKENS_MAX: u32 = 10_000;

pub fn routes(app: Arc<App>) -> Router {
    let router = answers::<FindUser, _, _, _>(Router::new(), find_user);
    let router = answers::<EligibilityFacts, _, _, _>(router, eligibility);
    let router = answers::<MintPeople, _, _, _>(router, mint_people);
    let router = answers::<MintedTokens, _, _, _>(router, minted_tokens);
    let router = answers::<RevokedSince, _, _, _>(router, revoked_since);
    router.with_state(app)
}

async fn find_user(app: Arc<App>, asked: FindUser) -> Result<Option<UserSaved>> {
    let account = store::account_by_username(&app.db, &asked.username).await?;
    Ok(account.map(|account| events::saved(&account)))
}

async fn eligibility(app: Arc<App>, asked: EligibilityFacts) -> Result<Option<Eligibility>> {
    let account = store::account(&app.db, asked.user_id).await?;
    Ok(account.map(|account| Eligibility {
        created_ms: account.created_ms,
        email_verified: account.email_verified,
        phone_verified: account.phone_verified,
        identity_verified: account.identity_verified,
        birth_date: account.birth_date.and_then(|date| date.parse().ok()),
    }))
}

async fn revoked_since(app: Arc<App>, asked: RevokedSince) -> Result<Vec<Revoked>> {
    Ok(store::revoked_since(&app.db, asked.since_ms).await?)
}

/// Makes a rehearsal's people, or those of them that are missing.
async fn mint_people(app: Arc<App>, asked: MintPeople) -> Result<()> {
    if asked.people > PEOPLE_MAX {
        return Err(Problem::field("people", "range", format!("at most {PEOPLE_MAX}")));
    }
    let asked = Arc::new(asked);
    for from in (0..asked.people).step_by(PEOPLE_AT_ONCE as usize) {
        let to = asked.people.min(from + PEOPLE_AT_ONCE);
        let asked = asked.clone();
        app.db
            .write(move |tx| {
                Box::pin(async move {
                    let now_ms = tx.now_ms().await?;
                    store::mint_people(tx, &asked, from, to, now_ms).await?;
                    Ok::<_, Problem>(())
                })
            })
            .await?;
    }
    Ok(())
}

async fn minted_tokens(app: Arc<App>, asked: MintedTokens) -> Result<Vec<MintedToken>> {
    let limit = i64::from(asked.limit.min(TOKENS_MAX));
    let people = store::minted_people(&app.db, asked.rehearsal_id, asked.after, limit).await?;
    let now_ms = app.clock.now_ms();
    let access_token_s = i64::from(app.config.access_token_s);
    let key = app.token_key.clone();
    // Why off the async threads: ten thousand signatures take a fifth of a second.
    let signing = tokio::task::spawn_blocking(move || {
        let token = |person: store::MintedPerson| {
            let claims = Claims {
                sub: UserId(person.id),
                name: person.username,
                role: kernel::Role::Member,
                // Nobody signed in: the person stands for his own session.
                sid: SessionId(person.id),
                iat_ms: now_ms,
                exp: (now_ms / 1000 + access_token_s).min(person.rehearsal_expires_ms / 1000),
                reh: Some(RaceId(person.rehearsal_race_id)),
            };
            MintedToken { user_id: claims.sub, token: key.sign(&claims) }
        };
        people.into_iter().map(token).collect()
    });
    signing.await.map_err(|_| Problem::new(&codes::INTERNAL))
}
