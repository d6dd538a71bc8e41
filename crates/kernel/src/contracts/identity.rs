//! What identity tells and answers.

use serde::{Deserialize, Serialize};

use super::{Event, Request};
use crate::{RaceId, Role, UserId};

/// A new account, or a changed one: the whole public profile, so that a copy can be replaced by it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserSaved {
    pub user_id: UserId,
    pub username: String,
    pub name: String,
    pub nickname: String,
    /// Rises with each change; a consumer ignores what is older than its copy.
    pub version: i64,
    /// `ko` or `en`.
    #[serde(default)]
    pub language: Option<String>,
    #[serde(default)]
    pub email: Option<String>,
    /// As it is at this change; `user.role_changed` tells of later ones.
    #[serde(default)]
    pub role: Option<Role>,
}

impl Event for UserSaved {
    const KIND: &'static str = "user.saved";
    const VERSION: u32 = 1;
    fn key(&self) -> String {
        self.user_id.to_string()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserRoleChanged {
    pub user_id: UserId,
    pub role: Role,
}

impl Event for UserRoleChanged {
    const KIND: &'static str = "user.role_changed";
    const VERSION: u32 = 1;
    fn key(&self) -> String {
        self.user_id.to_string()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompanyApplicationDecided {
    pub application_id: uuid::Uuid,
    pub user_id: UserId,
    pub approved: bool,
    pub reason: Option<String>,
}

impl Event for CompanyApplicationDecided {
    const KIND: &'static str = "company_application.decided";
    const VERSION: u32 = 1;
    fn key(&self) -> String {
        self.user_id.to_string()
    }
}

/// Who has this username?
#[derive(Debug, Serialize, Deserialize)]
pub struct FindUser {
    pub username: String,
}

impl Request for FindUser {
    const PATH: &'static str = "identity/find-user";
    type Answer = Option<UserSaved>;
}

/// What an offer's eligibility rules look at.
#[derive(Debug, Serialize, Deserialize)]
pub struct EligibilityFacts {
    pub user_id: UserId,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Eligibility {
    pub created_ms: i64,
    /// Has the e-mail address, the phone number, the identity been verified?
    pub email_verified: bool,
    pub phone_verified: bool,
    pub identity_verified: bool,
    /// ISO 8601 calendar date; absent when the person did not say.
    pub birth_date: Option<chrono::NaiveDate>,
}

impl Request for EligibilityFacts {
    const PATH: &'static str = "identity/eligibility";
    type Answer = Option<Eligibility>;
}

/// Makes marked people who can claim in one rehearsal's race and do nothing else.
#[derive(Debug, Serialize, Deserialize)]
pub struct MintPeople {
    pub rehearsal_id: uuid::Uuid,
    pub race_id: RaceId,
    pub people: u32,
    pub expires_ms: i64,
}

impl Request for MintPeople {
    const PATH: &'static str = "identity/mint-people";
    type Answer = ();
}

/// The rehearsal's people with a fresh access token each, `limit` of them after `after`.
#[derive(Debug, Serialize, Deserialize)]
pub struct MintedTokens {
    pub rehearsal_id: uuid::Uuid,
    pub after: Option<UserId>,
    pub limit: u32,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct MintedToken {
    pub user_id: UserId,
    pub token: String,
}

impl Request for MintedTokens {
    const PATH: &'static str = "identity/minted-tokens";
    type Answer = Vec<MintedToken>;
}

/// Which sign-ins ended since a moment? Every gateway asks once a second.
#[derive(Debug, Serialize, Deserialize)]
pub struct RevokedSince {
    /// Unix milliseconds of the database's clock.
    pub since_ms: i64,
}

/// A session that ended, or all of a person's tokens made up to a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    pub session_id: Option<crate::SessionId>,
    pub user_id: Option<UserId>,
    pub at_ms: i64,
}

impl Request for RevokedSince {
    const PATH: &'static str = "identity/revoked-since";
    type Answer = Vec<Revoked>;
}
