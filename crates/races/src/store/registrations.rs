//! Registrations, each read together with its claim.

use std::collections::HashMap;

use admission::ClaimState;
use kernel::{ClaimId, Cursor, OfferId, PaymentId, RaceId, UserId, Won};
use orderlog::Want;
use platform::db::{Db, DbError, FromQueryResult, Query, args};
use uuid::Uuid;

use super::{Conditions, PEOPLE, broken, of_json};
use crate::model::{PaymentProgress, Progress, RefundRule, Souvenir, Wizard};

/// A registration with its claim, its race's souvenirs and what is known of its person.
#[derive(Clone, Debug)]
pub struct Registration {
    pub id: ClaimId,
    pub race: RaceId,
    pub offer: OfferId,
    pub race_owner: UserId,
    pub user: UserId,
    pub seq: i64,
    pub state: ClaimState,
    pub want: Want,
    pub log_index: i64,
    pub hold_until_ms: Option<i64>,
    pub confirm_no: Option<i64>,
    pub received_ms: i64,
    pub decided_ms: i64,
    pub replaces: Option<ClaimId>,
    pub replaced_by: Option<ClaimId>,
    pub souvenirs: Vec<Souvenir>,
    pub refund_rules: Vec<RefundRule>,
    pub race_at_ms: i64,
    pub race_title: String,
    pub race_place: String,
    /// Of the course it is for.
    pub fee: Won,
    pub progress: Progress,
    /// `expired`, `released`, `cancelled`, `failed`.
    pub ended_by: Option<String>,
    /// Username, name and nickname; none for a person whose profile has not arrived.
    pub profile: Option<(String, String, String)>,
}

impl Registration {
    pub fn wizard(&self) -> Wizard {
        Wizard::new(self.state, &self.want, !self.souvenirs.is_empty(), self.fee)
    }

    /// Whether this is the payment it waits for, or was paid by.
    pub fn is_for(&self, payment: PaymentId) -> bool {
        self.progress.payment.as_ref().is_some_and(|had| had.id == payment)
    }
}

#[derive(FromQueryResult)]
struct RegistrationRow {
    id: Uuid,
    race_id: Uuid,
    offer_id: Uuid,
    owner_id: Uuid,
    souvenirs: String,
    refund_rules: String,
    race_at_ms: i64,
    title: String,
    place: String,
    user_id: Uuid,
    seq: i64,
    state: String,
    want: String,
    log_index: i64,
    hold_until_ms: Option<i64>,
    confirm_no: Option<i64>,
    received_ms: i64,
    decided_ms: i64,
    replaces: Option<Uuid>,
    replaced_by: Option<Uuid>,
    fee_won: Option<i64>,
    ended_by: Option<String>,
    terms_version: Option<i64>,
    terms_ms: Option<i64>,
    souvenir_ms: Option<i64>,
    address_ms: Option<i64>,
    payment_ms: Option<i64>,
    address: Option<String>,
    payment_id: Option<Uuid>,
    payment_state: Option<String>,
    amount_won: Option<i64>,
    refunded_won: Option<i64>,
    provider: Option<String>,
    checkout_url: Option<String>,
    payment_expires_ms: Option<i64>,
    username: Option<String>,
    name: Option<String>,
    nickname: Option<String>,
}
platform::rows!(RegistrationRow);

const COLUMNS: &str =
    "g.id, g.race_id, race.offer_id, race.owner_id, race.souvenirs, race.refund_rules, race.race_at_ms, race.title, race.place,
    g.user_id, c.seq, c.state, c.want,
    c.log_index, c.hold_until_ms, c.confirm_no, c.received_ms, c.decided_ms, c.replaces,
    (SELECT n.id FROM claim n WHERE n.replaces = c.id ORDER BY n.seq LIMIT 1) AS replaced_by,
    (SELECT k.fee_won FROM race_course k
     WHERE k.race_id = g.race_id AND (',' || c.want) LIKE '%,' || k.code || ':%') AS fee_won,
    g.ended_by, s.terms_version, s.terms_ms, s.souvenir_ms, s.address_ms, s.payment_ms, s.address, s.payment_id, s.payment_state, s.amount_won,
    s.refunded_won, s.provider, s.checkout_url, s.payment_expires_ms";
const NO_PROFILE: &str = "NULL AS username, NULL AS name, NULL AS nickname";
const PROFILE: &str = "p.username, p.name, p.nickname";
const OF_REGISTRATION: &str = "registration g JOIN claim c ON c.id = g.id JOIN race ON race.id = g.race_id
    LEFT JOIN registration_progress s ON s.registration_id = g.id";

pub async fn find(q: &impl Query, id: ClaimId) -> Result<Option<Registration>, DbError> {
    let sql = format!("SELECT {COLUMNS}, {NO_PROFILE} FROM {OF_REGISTRATION} WHERE g.id = $1");
    q.one::<RegistrationRow>(&sql, args![id.0]).await?.map(RegistrationRow::registration).transpose()
}

/// The person's open registration in a race.
pub async fn find_open(q: &impl Query, race: RaceId, user: UserId) -> Result<Option<Registration>, DbError> {
    let sql = format!(
        "SELECT {COLUMNS}, {NO_PROFILE} FROM {OF_REGISTRATION}
         WHERE g.user_id = $1 AND g.race_id = $2 AND c.ended_ms IS NULL ORDER BY g.id DESC LIMIT 1"
    );
    q.one::<RegistrationRow>(&sql, args![user.0, race.0]).await?.map(RegistrationRow::registration).transpose()
}

/// One more than `limit` of a person's registrations, newest first.
pub async fn list_mine(
    db: &Db,
    user: UserId,
    state: Option<ClaimState>,
    after: Option<Cursor>,
    limit: i64,
) -> Result<Vec<Registration>, DbError> {
    let mut wanted = Conditions::new();
    wanted.add("g.user_id = ?", user.0);
    if let Some(state) = state {
        wanted.add("c.state = ?", state.as_str());
    }
    if let Some(after) = after {
        wanted.add("g.id < ?", after.id);
    }
    let (conditions, args) = wanted.finish();
    let limit = limit + 1;
    let sql = format!(
        "SELECT {COLUMNS}, {NO_PROFILE} FROM {OF_REGISTRATION} WHERE {conditions} ORDER BY g.id DESC LIMIT {limit}"
    );
    read(db, &sql, args).await
}

/// Which of a race's registrations its organiser asks for.
#[derive(Clone, Debug, Default)]
pub struct RegistrantFilter {
    pub text: Option<String>,
    pub state: Option<ClaimState>,
    pub course: Option<String>,
    /// Numbers above this one.
    pub after_seq: i64,
}

/// At most `limit` of a race's registrations in the order of their numbers.
pub async fn list_registrants(
    db: &Db,
    offer: OfferId,
    filter: &RegistrantFilter,
    limit: i64,
) -> Result<Vec<Registration>, DbError> {
    let mut wanted = Conditions::new();
    wanted.add("c.offer_id = ?", offer.0);
    wanted.add("c.seq > ?", filter.after_seq);
    if let Some(state) = filter.state {
        wanted.add("c.state = ?", state.as_str());
    }
    if let Some(course) = &filter.course {
        // Invariant: codes are letters, digits and hyphens, so nothing in one means anything to LIKE.
        wanted.add("(',' || c.want) LIKE ?", format!("%,{course}:%"));
    }
    if let Some(text) = &filter.text {
        // Why not of `c`: registrations have an index by person, so that few matches are found without the whole list.
        wanted.search(db, PEOPLE, text, "g.user_id");
    }
    let (conditions, args) = wanted.finish();
    let sql = format!(
        "SELECT {COLUMNS}, {PROFILE}
         FROM claim c JOIN registration g ON g.id = c.id JOIN race ON race.id = g.race_id
         LEFT JOIN registration_progress s ON s.registration_id = g.id
         LEFT JOIN person p ON p.user_id = c.user_id
         WHERE {conditions} ORDER BY c.seq LIMIT {limit}"
    );
    read(db, &sql, args).await
}

/// Open claims of an offer that its cancellation has still to return, paying ones excepted.
pub async fn open_claims(db: &Db, offer: OfferId, limit: i64) -> Result<Vec<ClaimId>, DbError> {
    let sql =
        "SELECT id FROM claim WHERE offer_id = $1 AND ended_ms IS NULL AND state <> 'paying' ORDER BY seq LIMIT $2";
    let rows = db.all::<(Uuid,)>(sql, args![offer.0, limit]).await?;
    Ok(rows.into_iter().map(|row| ClaimId(row.0)).collect())
}

/// The place in the line, from 1, of each of these registrations that waits.
pub async fn positions(q: &impl Query, registrations: &[Registration]) -> Result<HashMap<ClaimId, i64>, DbError> {
    let mut lines: HashMap<OfferId, Vec<&Registration>> = HashMap::new();
    for waiting in registrations.iter().filter(|one| one.state == ClaimState::Waitlisted) {
        lines.entry(waiting.offer).or_default().push(waiting);
    }
    let mut found = HashMap::new();
    for (offer, waiting) in lines {
        // Why: the line is counted once for the whole page, not once for each of its rows.
        let numbers: Vec<String> = waiting.iter().map(|one| one.seq.to_string()).collect();
        let last = waiting.iter().map(|one| one.seq).max().unwrap_or(0);
        let sql = format!(
            "SELECT seq, place FROM (
                 SELECT seq, row_number() OVER (ORDER BY seq) AS place FROM claim
                 WHERE offer_id = $1 AND state = 'waitlisted' AND seq <= $2
             ) line WHERE seq IN ({})",
            numbers.join(", ")
        );
        let rows: HashMap<i64, i64> = q.all::<(i64, i64)>(&sql, args![offer.0, last]).await?.into_iter().collect();
        found.extend(waiting.iter().filter_map(|one| Some((one.id, *rows.get(&one.seq)?))));
    }
    Ok(found)
}

async fn read(db: &Db, sql: &str, args: Vec<platform::db::Value>) -> Result<Vec<Registration>, DbError> {
    db.all::<RegistrationRow>(sql, args).await?.into_iter().map(RegistrationRow::registration).collect()
}

impl RegistrationRow {
    fn registration(self) -> Result<Registration, DbError> {
        Ok(Registration {
            id: ClaimId(self.id),
            race: RaceId(self.race_id),
            offer: OfferId(self.offer_id),
            race_owner: UserId(self.owner_id),
            user: UserId(self.user_id),
            seq: self.seq,
            state: self.state.parse().map_err(|_| broken("the state of a claim"))?,
            want: self.want.parse().map_err(|_| broken("the want of a claim"))?,
            log_index: self.log_index,
            hold_until_ms: self.hold_until_ms,
            confirm_no: self.confirm_no,
            received_ms: self.received_ms,
            decided_ms: self.decided_ms,
            replaces: self.replaces.map(ClaimId),
            replaced_by: self.replaced_by.map(ClaimId),
            souvenirs: of_json(&self.souvenirs)?,
            refund_rules: of_json(&self.refund_rules)?,
            race_at_ms: self.race_at_ms,
            race_title: self.title,
            race_place: self.place,
            fee: Won(self.fee_won.unwrap_or(0)),
            ended_by: self.ended_by,
            progress: Progress {
                terms_version: self.terms_version,
                payment_opened: self.payment_ms.is_some(),
                newest_ms: self.terms_ms.max(self.souvenir_ms).max(self.address_ms).max(self.payment_ms),
                souvenir_chosen: self.souvenir_ms.is_some(),
                address: self.address.as_deref().map(of_json).transpose()?,
                payment: self.payment_id.map(|id| PaymentProgress {
                    id: PaymentId(id),
                    state: self.payment_state.unwrap_or_default(),
                    amount: Won(self.amount_won.unwrap_or(0)),
                    refunded: Won(self.refunded_won.unwrap_or(0)),
                    provider: self.provider.unwrap_or_default(),
                    checkout_url: self.checkout_url.unwrap_or_default(),
                    expires_ms: self.payment_expires_ms.unwrap_or(0),
                }),
            },
            profile: self
                .username
                .zip(self.name)
                .zip(self.nickname)
                .map(|((username, name), nickname)| (username, name, nickname)),
        })
    }
}
