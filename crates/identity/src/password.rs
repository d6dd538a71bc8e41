//! Passwords: which may be set, and argon2id off the async threads.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use platform::http::{Problem, codes};
use tokio::sync::Semaphore;

use crate::model::{NewPassword, compose};

/// Passwords that every attacker tries first, in lower case, one a line.
static COMMON: LazyLock<HashSet<&str>> = LazyLock::new(|| include_str!("common_passwords.txt").lines().collect());

/// More hashes at once would take the processors from everybody who is signed in already.
const HASHES_AT_ONCE: usize = 2;
/// Who waits longer than this for his turn is told to come back.
const WAIT_MAX: Duration = Duration::from_secs(3);

/// The hash of nobody's password, so that an unknown user costs the same work as a known one.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bWFkYW5nLW5vYm9keS4$U0hQg7tKJ2FvVq7dXj1c0m3kz5r9yYxWb8eTnA4uLsE";

/// Refuses a new password that is among the common ones or is the username.
///
/// Source: NIST SP 800-63B §5.1.1.2, OWASP Authentication Cheat Sheet.
pub fn check_new(field: &str, password: &NewPassword, username: &str) -> Result<(), Problem> {
    let lower = password.as_str().to_lowercase();
    if COMMON.contains(lower.as_str()) {
        return Err(Problem::field(field, "common", "this password is among the first that attackers try"));
    }
    if lower == username {
        return Err(Problem::field(field, "username", "the password cannot be the username"));
    }
    Ok(())
}

/// Makes and checks password hashes, a few at a time. Cheap to clone.
#[derive(Clone)]
pub struct Hasher(Arc<Semaphore>);

impl Default for Hasher {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(HASHES_AT_ONCE)))
    }
}

impl Hasher {
    /// The PHC string of a password (argon2id, 19 MiB, two passes: the crate's and OWASP's default).
    pub async fn hash(&self, password: &NewPassword) -> Result<String, Problem> {
        let password = password.as_str().to_owned();
        let hashed = self
            .work(move || Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string()))
            .await?;
        hashed.map_err(|error| {
            tracing::error!(%error, "a password could not be hashed");
            Problem::new(&codes::INTERNAL)
        })
    }

    /// Is it this password? Without a hash the answer is no, after the same work.
    pub async fn verify(&self, password: &str, hash: Option<&str>) -> Result<bool, Problem> {
        let password = compose(password);
        let known = hash.is_some();
        let hash = hash.unwrap_or(NOBODY).to_owned();
        self.work(move || known & matches(&password, &hash)).await
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let away = || Problem::new(&codes::UNAVAILABLE).retry_after_ms(2_000);
        let turn = tokio::time::timeout(WAIT_MAX, self.0.clone().acquire_owned()).await;
        let Ok(Ok(permit)) = turn else {
            return Err(away());
        };
        let job = move || {
            // Invariant: the turn is the work's, not the request's; who hangs up does not let a third one in.
            let _permit = permit;
            work()
        };
        tokio::task::spawn_blocking(job).await.map_err(|_| away())
    }
}

fn matches(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_password(text: &str) -> NewPassword {
        serde_json::from_value(text.into()).expect("a string")
    }

    #[test]
    fn common_passwords_are_long_enough_to_matter_and_in_lower_case() {
        assert!(COMMON.len() > 500, "{}", COMMON.len());
        for line in COMMON.iter() {
            assert!(line.chars().count() >= 8 && *line == line.to_lowercase().trim(), "{line:?}");
        }
    }

    #[test]
    fn what_everybody_tries_is_refused() {
        for (password, username) in [
            ("Password123", "haneul01"),
            ("QWERTYUIOP", "haneul01"),
            ("haneulhaneul", "haneulhaneul"),
            ("HANEULhaneul", "haneulhaneul"),
        ] {
            assert!(check_new("password", &new_password(password), username).is_err(), "{password}");
        }
        assert!(check_new("password", &new_password("달빛 아래 뛰는 밤"), "haneul01").is_ok());
    }

    #[tokio::test]
    async fn a_password_is_known_again_and_no_other() {
        let hasher = Hasher::default();
        let hash = hasher.hash(&new_password("rain on Tuesday")).await.expect("hashed");
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(hasher.verify("rain on Tuesday", Some(&hash)).await.expect("checked"));
        assert!(!hasher.verify("rain on tuesday", Some(&hash)).await.expect("checked"));
        assert!(!hasher.verify("rain on Tuesday", None).await.expect("checked"));
    }

    #[test]
    fn an_unknown_user_costs_what_a_known_one_costs() {
        let nobody = PasswordHash::new(NOBODY).expect("a PHC string");
        let somebody = Argon2::default().hash_password(b"x").expect("hashed");
        assert_eq!(nobody.params, somebody.params);
        assert_eq!(nobody.algorithm, somebody.algorithm);
        assert_eq!(nobody.hash.map(|hash| hash.as_ref().len()), somebody.hash.map(|hash| hash.as_ref().len()));
        assert!(nobody.salt.is_some());
    }
}
