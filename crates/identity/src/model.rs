//! What an account is made of, and the rules its parts keep. Pure.

mod text;

use kernel::{Role, UserId};
use platform::http::Language;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use text::{
    BirthDate, CompanyName, Description, Email, NewPassword, Nickname, PersonName, Phone, Reason, Username, compose,
};

/// A person's account, or a rehearsal's marked person.
#[derive(Clone, Debug)]
pub struct Account {
    pub id: UserId,
    pub username: String,
    /// A PHC string; absent where nobody can sign in.
    pub password_hash: Option<String>,
    pub name: String,
    pub nickname: String,
    pub email: Option<String>,
    pub email_verified: bool,
    pub phone: Option<String>,
    pub phone_verified: bool,
    pub identity_verified: bool,
    /// ISO 8601 calendar date.
    pub birth_date: Option<String>,
    pub language: Language,
    pub role: Role,
    pub banned_ms: Option<i64>,
    pub ban_reason: Option<String>,
    /// Access tokens made up to this moment do not count.
    pub tokens_after_ms: i64,
    pub version: i64,
    pub created_ms: i64,
}

impl Account {
    pub fn is_banned(&self) -> bool {
        self.banned_ms.is_some()
    }

    /// When a token made now counts as made: later than every token that was revoked.
    pub fn token_issue_ms(&self, now_ms: i64) -> i64 {
        now_ms.max(self.tokens_after_ms + 1)
    }

    /// May somebody of this role suspend the account? Managers suspend those below them, admins anybody.
    pub fn is_banned_by(&self, actor: Role) -> bool {
        actor == Role::Admin || rank(self.role) < rank(actor)
    }

    /// What managers find the account by.
    pub fn search_text(&self) -> String {
        let parts = [
            Some(self.username.as_str()),
            Some(self.name.as_str()),
            Some(self.nickname.as_str()),
            self.email.as_deref(),
            self.phone.as_deref(),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join("\n")
    }
}

/// Text as it is compared: composed (NFC), without difference of case, without the selectors that only choose
/// how an emoji is drawn.
pub fn fold(text: &str) -> String {
    text::compose(text).to_lowercase().replace(|c| matches!(c, '\u{fe00}'..='\u{fe0f}'), "")
}

fn rank(role: Role) -> u8 {
    match role {
        Role::Member => 0,
        Role::Company => 1,
        Role::Manager => 2,
        Role::Admin => 3,
    }
}

/// Where an application to become an organiser stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApplicationState {
    Pending,
    Approved,
    Rejected,
}

impl ApplicationState {
    pub fn as_str(self) -> &'static str {
        match self {
            ApplicationState::Pending => "pending",
            ApplicationState::Approved => "approved",
            ApplicationState::Rejected => "rejected",
        }
    }

    pub fn parse(text: &str) -> Option<ApplicationState> {
        [ApplicationState::Pending, ApplicationState::Approved, ApplicationState::Rejected]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

/// An application to become an organiser.
#[derive(Clone, Debug)]
pub struct Application {
    pub id: Uuid,
    pub user: UserId,
    pub username: String,
    pub name: String,
    pub description: String,
    pub state: ApplicationState,
    /// Why it was decided so, as the applicant reads it.
    pub reason: Option<String>,
    pub created_ms: i64,
    pub decided_ms: Option<i64>,
}

/// A sign-in as its owner sees it.
#[derive(Clone, Debug)]
pub struct Session {
    pub id: Uuid,
    pub user_agent: Option<String>,
    pub created_ms: i64,
    pub last_used_ms: i64,
}

#[cfg(test)]
mod tests;
