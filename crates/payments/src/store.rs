//! All statements on payments; refunds, webhooks and reconciliations in files of their own, the ledger's with the ledger.

pub mod reconciliations;
pub mod refunds;
pub mod webhooks;

use kernel::contracts::payments::Subject;
use kernel::{PaymentId, UserId, Won};
use platform::db::{DbError, FromQueryResult, Query, Tx, args};
use uuid::Uuid;

use crate::ledger::ids;
use crate::model::{Intent, state_of};

#[derive(FromQueryResult)]
struct PaymentRow {
    id: Uuid,
    subject_kind: String,
    subject_id: Uuid,
    payer_id: Uuid,
    payee_id: Uuid,
    title: String,
    amount_won: i64,
    refunded_won: i64,
    provider: String,
    provider_key: String,
    checkout_url: String,
    payer_key: Option<String>,
    state: String,
    reason: Option<String>,
    expires_ms: i64,
    looks: i64,
    next_look_ms: i64,
    void_due: i64,
}
platform::rows!(PaymentRow);

const COLUMNS: &str =
    "id, subject_kind, subject_id, payer_id, payee_id, title, amount_won, refunded_won, provider, provider_key,
    checkout_url, payer_key, state, reason, expires_ms, looks, next_look_ms, void_due";

impl PaymentRow {
    fn intent(self) -> Result<Intent, DbError> {
        let unknown =
            |what: &str| DbError::Failed(anyhow::anyhow!("a payment has a {what} this version does not know"));
        let subject = match self.subject_kind.as_str() {
            "registration" => Subject::Registration(self.subject_id),
            _ => return Err(unknown("subject")),
        };
        Ok(Intent {
            id: PaymentId(self.id),
            subject,
            payer: UserId(self.payer_id),
            payee: UserId(self.payee_id),
            title: self.title,
            amount: Won(self.amount_won),
            refunded: Won(self.refunded_won),
            provider: self.provider,
            provider_key: self.provider_key,
            checkout_url: self.checkout_url,
            payer_key: self.payer_key,
            state: state_of(&self.state).ok_or_else(|| unknown("state"))?,
            reason: self.reason,
            expires_ms: self.expires_ms,
            looks: self.looks,
            next_look_ms: self.next_look_ms,
            void_due: self.void_due == 1,
        })
    }
}

async fn list(query: &impl Query, sql: &str, args: Vec<platform::db::Value>) -> Result<Vec<Intent>, DbError> {
    query.all::<PaymentRow>(sql, args).await?.into_iter().map(PaymentRow::intent).collect()
}

pub async fn find(query: &impl Query, id: PaymentId) -> Result<Option<Intent>, DbError> {
    let sql = format!("SELECT {COLUMNS} FROM payment WHERE id = $1");
    query.one::<PaymentRow>(&sql, args![id.0]).await?.map(PaymentRow::intent).transpose()
}

pub async fn find_by_key(query: &impl Query, provider: &str, key: &str) -> Result<Option<Intent>, DbError> {
    let sql = format!("SELECT {COLUMNS} FROM payment WHERE provider = $1 AND provider_key = $2");
    query.one::<PaymentRow>(&sql, args![provider, key]).await?.map(PaymentRow::intent).transpose()
}

/// The payment, its row locked until the transaction ends: whoever changes it reads it so first.
pub async fn locked(tx: &Tx, id: PaymentId) -> Result<Intent, DbError> {
    let sql = format!("SELECT {COLUMNS} FROM payment WHERE id = $1 {}", tx.db().pick("", "FOR UPDATE"));
    tx.one::<PaymentRow>(&sql, args![id.0]).await?.ok_or(DbError::Missing)?.intent()
}

/// What a subject is paid by, or was: its captured payment, else the open one.
pub async fn standing(query: &impl Query, subject: Subject) -> Result<Option<Intent>, DbError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM payment
         WHERE subject_id = $1 AND subject_kind = $2 AND state IN ('captured', 'confirming', 'ready')
         ORDER BY CASE state WHEN 'captured' THEN 0 ELSE 1 END, id DESC LIMIT 1"
    );
    query.one::<PaymentRow>(&sql, args![subject.id(), subject.kind()]).await?.map(PaymentRow::intent).transpose()
}

/// The newest payment of each subject that has one.
pub async fn newest(query: &impl Query, pick: Pick, subjects: &[Subject]) -> Result<Vec<Intent>, DbError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM (
             SELECT payment.*, row_number() OVER (PARTITION BY subject_kind, subject_id ORDER BY id DESC) AS nth
             FROM payment WHERE subject_id IN ({pick})
         ) p WHERE nth = 1"
    );
    let mut found = list(query, &sql, args![ids(subjects.iter().map(Subject::id))]).await?;
    found.retain(|intent| subjects.contains(&intent.subject));
    Ok(found)
}

/// How a database reads a list of ids that comes as `$1`.
pub type Pick = &'static str;

pub fn list_of_ids(db: &platform::db::Db) -> Pick {
    db.pick("SELECT unhex(value) FROM json_each($1)", "SELECT value::uuid FROM jsonb_array_elements_text($1::jsonb)")
}

pub async fn insert(tx: &Tx, intent: &Intent, now_ms: i64) -> Result<(), DbError> {
    let sql = "INSERT INTO payment (id, subject_kind, subject_id, payer_id, payee_id, title, amount_won, refunded_won,
                   refunding_won, provider, provider_key, checkout_url, state, expires_ms, looks, next_look_ms, void_due,
                   created_ms, changed_ms)
               VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, $8, $9, $10, $11, $12, 0, 0, 0, $13, $13)";
    let args = args![
        intent.id.0,
        intent.subject.kind(),
        intent.subject.id(),
        intent.payer.0,
        intent.payee.0,
        intent.title.as_str(),
        intent.amount.0,
        intent.provider.as_str(),
        intent.provider_key.as_str(),
        intent.checkout_url.as_str(),
        intent.state.as_str(),
        intent.expires_ms,
        now_ms,
    ];
    tx.run(sql, args).await?;
    Ok(())
}

/// Writes what moves about a payment; read it with [`locked`] first.
pub async fn save(tx: &Tx, intent: &Intent, now_ms: i64) -> Result<(), DbError> {
    let sql =
        "UPDATE payment SET state = $2, reason = $3, payer_key = $4, looks = $5, next_look_ms = $6, void_due = $7,
                   changed_ms = $8, captured_ms = CASE WHEN $2 = 'captured' THEN coalesce(captured_ms, $8) END
               WHERE id = $1";
    let args = args![
        intent.id.0,
        intent.state.as_str(),
        intent.reason.clone(),
        intent.payer_key.clone(),
        intent.looks,
        intent.next_look_ms,
        i64::from(intent.void_due),
        now_ms,
    ];
    tx.run(sql, args).await?;
    Ok(())
}

/// Payments that somebody should ask the provider about, or end.
pub struct Due {
    pub undecided: Vec<Intent>,
    pub overdue: Vec<Intent>,
    pub to_void: Vec<Intent>,
}

const UNDECIDED: &str = "state = 'confirming' AND next_look_ms <= $1";
const OVERDUE: &str = "state = 'ready' AND expires_ms <= $1";
const TO_VOID: &str = "void_due = 1 AND next_look_ms <= $1";

pub async fn due(query: &impl Query, now_ms: i64, limit: i64) -> Result<Due, DbError> {
    let some = async |condition: &str, order: &str| {
        let sql = format!("SELECT {COLUMNS} FROM payment WHERE {condition} ORDER BY {order} LIMIT $2");
        list(query, &sql, args![now_ms, limit]).await
    };
    Ok(Due {
        undecided: some(UNDECIDED, "next_look_ms").await?,
        overdue: some(OVERDUE, "expires_ms").await?,
        to_void: some(TO_VOID, "next_look_ms").await?,
    })
}

/// Is anything due: a payment, a refund, a webhook? Five looks into indexes of what is open.
pub async fn anything_due(query: &impl Query, now_ms: i64) -> Result<bool, DbError> {
    let sql = format!(
        "SELECT CAST(count(*) AS bigint) FROM (
             SELECT 1 AS one WHERE EXISTS (SELECT 1 FROM payment WHERE {UNDECIDED})
             UNION ALL SELECT 1 WHERE EXISTS (SELECT 1 FROM payment WHERE {OVERDUE})
             UNION ALL SELECT 1 WHERE EXISTS (SELECT 1 FROM payment WHERE {TO_VOID})
             UNION ALL SELECT 1 WHERE EXISTS (SELECT 1 FROM refund WHERE state = 'pending' AND next_look_ms <= $1)
             UNION ALL SELECT 1 WHERE EXISTS (SELECT 1 FROM webhook WHERE applied_ms IS NULL AND next_look_ms <= $1)
         ) due"
    );
    Ok(query.one::<(i64,)>(&sql, args![now_ms]).await?.is_some_and(|row| row.0 > 0))
}

/// The provider has closed it, or gave no answer yet and is asked again.
pub async fn note_void(tx: &Tx, intent: &Intent, closed: bool, next_look_ms: i64) -> Result<(), DbError> {
    let sql = "UPDATE payment SET void_due = $2, looks = looks + 1, next_look_ms = $3 WHERE id = $1 AND void_due = 1";
    tx.run(sql, args![intent.id.0, i64::from(!closed), next_look_ms]).await?;
    Ok(())
}

/// Payments that wait for a provider's word, and the oldest one's time.
pub async fn undecided(query: &impl Query) -> Result<(i64, Option<i64>), DbError> {
    let sql = "SELECT count(*), min(changed_ms) FROM payment WHERE state = 'confirming'";
    Ok(query.one::<(i64, Option<i64>)>(sql, args![]).await?.unwrap_or_default())
}
