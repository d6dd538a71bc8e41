//! Which sign-ins ended: the few minutes of revocations that unexpired tokens can still run into.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use kernel::contracts::identity::Revoked;
use kernel::{SessionId, UserId};

use crate::token::Verified;

/// Revocations older than this meet expired tokens only (they live 15 minutes) and are forgotten.
pub const KEPT_MS: i64 = 20 * 60_000;
/// Who has not caught up for so long no longer knows whom to let in.
pub const STALE_AFTER: Duration = Duration::from_secs(5);

/// What this process knows about ended sign-ins. Cheap to clone; clones share it.
#[derive(Clone, Default)]
pub struct Revocations(Arc<RwLock<Known>>);

#[derive(Default)]
struct Known {
    /// When each of these sessions ended.
    sessions: HashMap<SessionId, i64>,
    /// The tokens a person got up to this moment no longer count.
    users: HashMap<UserId, i64>,
    caught_up: Option<Instant>,
}

impl Revocations {
    /// Takes revocations in; those already known change nothing. Where an entry names a session and a person,
    /// both are meant.
    pub fn apply(&self, revoked: &[Revoked]) {
        if revoked.is_empty() {
            return;
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for entry in revoked {
            if let Some(session) = entry.session_id {
                let at_ms = known.sessions.entry(session).or_insert(entry.at_ms);
                *at_ms = entry.at_ms.max(*at_ms);
            }
            if let Some(user) = entry.user_id {
                let at_ms = known.users.entry(user).or_insert(entry.at_ms);
                *at_ms = entry.at_ms.max(*at_ms);
            }
        }
    }

    /// Has this token's session ended, or was it made before all of its person's tokens were revoked?
    pub fn is_revoked(&self, token: &Verified) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.sessions.contains_key(&token.caller.session)
            || known.users.get(&token.caller.user).is_some_and(|at_ms| token.iat_ms <= *at_ms)
    }

    /// Did this session end, or were all of the person's tokens revoked after `since_ms`? For whoever stays connected.
    pub fn has_ended(&self, session: SessionId, user: UserId, since_ms: i64) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.sessions.contains_key(&session) || known.users.get(&user).is_some_and(|at_ms| since_ms <= *at_ms)
    }

    /// Everything revoked up to the moment `asked` is known by now. Entries too old to matter at `now_ms` (Unix
    /// milliseconds) are forgotten.
    ///
    /// Why a monotonic moment: a corrected wall clock must neither shut signed-in people out nor hide a gap.
    pub fn note_caught_up(&self, asked: Instant, now_ms: i64) {
        let oldest_ms = now_ms - KEPT_MS;
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.caught_up = Some(asked);
        known.sessions.retain(|_, at_ms| *at_ms >= oldest_ms);
        known.users.retain(|_, at_ms| *at_ms >= oldest_ms);
    }

    /// Could a revocation older than [`STALE_AFTER`] be unknown here? So it is until the first catching up.
    pub fn is_stale(&self, now: Instant) -> bool {
        let caught_up = self.0.read().unwrap_or_else(PoisonError::into_inner).caught_up;
        caught_up.is_none_or(|at| now.saturating_duration_since(at) > STALE_AFTER)
    }

    /// How many entries are held, for the metrics.
    pub fn len(&self) -> usize {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.sessions.len() + known.users.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use kernel::Role;
    use uuid::Uuid;

    use super::*;
    use crate::http::Caller;

    const NOW_MS: i64 = 1_800_000_000_000;

    fn token(user: u128, session: u128, iat_ms: i64) -> Verified {
        let caller = Caller {
            user: UserId(Uuid::from_u128(user)),
            username: "runner".into(),
            role: Role::Member,
            session: SessionId(Uuid::from_u128(session)),
            rehearsal: None,
        };
        Verified { caller: Arc::new(caller), iat_ms, exp: iat_ms / 1_000 + 900 }
    }

    fn session_ended(session: u128, at_ms: i64) -> Revoked {
        Revoked { session_id: Some(SessionId(Uuid::from_u128(session))), user_id: None, at_ms }
    }

    fn person_revoked(user: u128, at_ms: i64) -> Revoked {
        Revoked { session_id: None, user_id: Some(UserId(Uuid::from_u128(user))), at_ms }
    }

    #[test]
    fn an_ended_session_takes_its_tokens_along_and_no_others() {
        let revocations = Revocations::default();
        assert!(!revocations.is_revoked(&token(1, 10, NOW_MS)));
        revocations.clone().apply(&[session_ended(10, NOW_MS)]);
        assert!(revocations.is_revoked(&token(1, 10, NOW_MS)));
        assert!(revocations.is_revoked(&token(1, 10, NOW_MS + 1)), "an ended session never comes back");
        assert!(!revocations.is_revoked(&token(1, 11, NOW_MS)));
    }

    #[test]
    fn a_person_loses_the_tokens_up_to_the_moment_only() {
        let revocations = Revocations::default();
        revocations.apply(&[person_revoked(1, NOW_MS)]);
        assert!(revocations.is_revoked(&token(1, 10, NOW_MS)));
        assert!(!revocations.is_revoked(&token(1, 10, NOW_MS + 1)));
        assert!(!revocations.is_revoked(&token(2, 10, NOW_MS)));
        revocations.apply(&[person_revoked(1, NOW_MS - 5_000)]);
        assert!(revocations.is_revoked(&token(1, 10, NOW_MS)), "an older entry must not undo a newer one");
    }

    #[test]
    fn what_meets_expired_tokens_only_is_forgotten() {
        let revocations = Revocations::default();
        revocations.apply(&[session_ended(10, NOW_MS), person_revoked(1, NOW_MS)]);
        revocations.note_caught_up(Instant::now(), NOW_MS + KEPT_MS);
        assert_eq!(revocations.len(), 2);
        revocations.note_caught_up(Instant::now(), NOW_MS + KEPT_MS + 1);
        assert!(revocations.is_empty());
    }

    #[test]
    fn who_has_not_caught_up_for_five_seconds_is_stale() {
        let revocations = Revocations::default();
        let asked = Instant::now();
        assert!(revocations.is_stale(asked), "nothing is known yet");
        revocations.note_caught_up(asked, NOW_MS);
        assert!(!revocations.is_stale(asked + STALE_AFTER));
        assert!(revocations.is_stale(asked + STALE_AFTER + Duration::from_millis(1)));
    }
}
