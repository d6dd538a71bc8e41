//! All queries of identity.
//!
//! Invariant: whoever changes an account, its sessions or its tokens locks its row first ([`account_locked`],
//! [`accounts_locked`] by rising id), so that a token made with the old role or password is always older than
//! the revocation that is meant to catch it, and nobody waits in a circle.

mod account;
mod application;
mod rehearsal;
mod session;

pub use account::{
    Filter, SEARCH, account, account_by_username, account_locked, accounts_locked, accounts_page, insert_account,
    is_taken, update_account,
};
pub use application::{
    applicant, application, applications_page, decide_application, insert_application, open_application,
};
pub use rehearsal::{MintedPerson, delete_expired_people, mint_people, minted_people};
pub use session::{
    delete_expired_sessions, delete_old_revocations, end_all_sessions, end_other_sessions, end_session,
    insert_refresh_token, insert_session, owner_of_refresh_token, refresh_token, revoke_tokens, revoked_since,
    sessions_page, touch_session, use_refresh_token,
};
