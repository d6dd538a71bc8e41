//! What an account may do.

use serde::{Deserialize, Serialize};

/// Sign-up makes a member; `company` is applied for; nobody grants a role he does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Member,
    /// Organiser, seller, advertiser.
    Company,
    Manager,
    Admin,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Member => "member",
            Role::Company => "company",
            Role::Manager => "manager",
            Role::Admin => "admin",
        }
    }

    pub fn parse(text: &str) -> Option<Role> {
        [Role::Member, Role::Company, Role::Manager, Role::Admin].into_iter().find(|role| role.as_str() == text)
    }
}
