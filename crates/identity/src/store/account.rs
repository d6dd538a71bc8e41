use kernel::{Cursor, Role, UserId};
use platform::db::{Db, DbError, FromQueryResult, Query, Tx, args};
use platform::http::{Language, Problem};
use platform::search::Index;
use uuid::Uuid;

use crate::error;
use crate::model::{Account, fold};

/// What managers find people by.
pub const SEARCH: Index = Index("account_search");

const COLUMNS: &str =
    "SELECT id, username, password_hash, name, nickname, email, email_verified_ms, phone, phone_verified_ms,
    identity_verified_ms, birth_date, language, role, banned_ms, ban_reason, tokens_after_ms, version, created_ms
    FROM account";

#[derive(FromQueryResult)]
struct AccountRow {
    id: Uuid,
    username: String,
    password_hash: Option<String>,
    name: String,
    nickname: String,
    email: Option<String>,
    email_verified_ms: Option<i64>,
    phone: Option<String>,
    phone_verified_ms: Option<i64>,
    identity_verified_ms: Option<i64>,
    birth_date: Option<String>,
    language: String,
    role: String,
    banned_ms: Option<i64>,
    ban_reason: Option<String>,
    tokens_after_ms: i64,
    version: i64,
    created_ms: i64,
}
platform::rows!(AccountRow);

impl From<AccountRow> for Account {
    fn from(row: AccountRow) -> Account {
        Account {
            id: UserId(row.id),
            username: row.username,
            password_hash: row.password_hash,
            name: row.name,
            nickname: row.nickname,
            email: row.email,
            email_verified: row.email_verified_ms.is_some(),
            phone: row.phone,
            phone_verified: row.phone_verified_ms.is_some(),
            identity_verified: row.identity_verified_ms.is_some(),
            birth_date: row.birth_date,
            language: Language::parse(&row.language).unwrap_or_default(),
            // Why: a role that a newer version wrote gives no right that this one does not know.
            role: Role::parse(&row.role).unwrap_or(Role::Member),
            banned_ms: row.banned_ms,
            ban_reason: row.ban_reason,
            tokens_after_ms: row.tokens_after_ms,
            version: row.version,
            created_ms: row.created_ms,
        }
    }
}

/// An account, a rehearsal's people included.
pub async fn account(query: &impl Query, user: UserId) -> Result<Option<Account>, DbError> {
    let row = query.one::<AccountRow>(&format!("{COLUMNS} WHERE id = $1"), args![user.0]).await?;
    Ok(row.map(Account::from))
}

/// A person's account; a rehearsal's people are nobody here.
pub async fn account_by_username(query: &impl Query, username: &str) -> Result<Option<Account>, DbError> {
    let sql = format!("{COLUMNS} WHERE username = $1 AND rehearsal_id IS NULL");
    Ok(query.one::<AccountRow>(&sql, args![username]).await?.map(Account::from))
}

/// A person's account, locked until the transaction ends.
pub async fn account_locked(tx: &Tx, user: UserId) -> Result<Option<Account>, DbError> {
    let lock = tx.db().pick("", "FOR UPDATE");
    let sql = format!("{COLUMNS} WHERE id = $1 AND rehearsal_id IS NULL {lock}");
    Ok(tx.one::<AccountRow>(&sql, args![user.0]).await?.map(Account::from))
}

/// Two people's accounts, locked by rising id; `(first, second)` as they were asked for.
pub async fn accounts_locked(
    tx: &Tx,
    first: UserId,
    second: UserId,
) -> Result<(Option<Account>, Option<Account>), DbError> {
    if first == second {
        let account = account_locked(tx, first).await?;
        return Ok((account.clone(), account));
    }
    let low = account_locked(tx, first.min(second)).await?;
    let high = account_locked(tx, first.max(second)).await?;
    Ok(if first < second { (low, high) } else { (high, low) })
}

/// Writes a new account; `by` is nobody where the command line makes it.
pub async fn insert_account(tx: &Tx, account: &Account, by: Option<UserId>) -> Result<(), Problem> {
    let sql = "INSERT INTO account (id, username, password_hash, name, nickname, nickname_key, email, language, role,
                   tokens_after_ms, version, created_ms, changed_ms, changed_by)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, $13)";
    let args = args![
        account.id.0,
        account.username.as_str(),
        account.password_hash.clone(),
        account.name.as_str(),
        account.nickname.as_str(),
        fold(&account.nickname),
        account.email.clone(),
        account.language.as_str(),
        account.role.as_str(),
        account.tokens_after_ms,
        account.version,
        account.created_ms,
        by.map(|user| user.0),
    ];
    tx.run(sql, args).await.map_err(taken)?;
    SEARCH.put(tx, account.id.0, &account.search_text()).await?;
    Ok(())
}

/// Writes a changed account as its next version. What was proved about an address or number that changed is gone
/// with it: `email_verified` and `phone_verified` can only fall here.
pub async fn update_account(tx: &Tx, account: &mut Account, by: UserId, now_ms: i64) -> Result<(), Problem> {
    account.version += 1;
    let sql =
        "UPDATE account SET password_hash = $2, name = $3, nickname = $4, nickname_key = $5, email = $6, phone = $7,
                   birth_date = $8, language = $9, role = $10, banned_ms = $11, ban_reason = $12, version = $13,
                   changed_ms = $14, changed_by = $15,
                   email_verified_ms = CASE WHEN $16 = 1 THEN email_verified_ms END,
                   phone_verified_ms = CASE WHEN $17 = 1 THEN phone_verified_ms END
               WHERE id = $1";
    let args = args![
        account.id.0,
        account.password_hash.clone(),
        account.name.as_str(),
        account.nickname.as_str(),
        fold(&account.nickname),
        account.email.clone(),
        account.phone.clone(),
        account.birth_date.clone(),
        account.language.as_str(),
        account.role.as_str(),
        account.banned_ms,
        account.ban_reason.clone(),
        account.version,
        now_ms,
        by.0,
        i64::from(account.email_verified),
        i64::from(account.phone_verified),
    ];
    tx.run(sql, args).await.map_err(taken)?;
    SEARCH.put(tx, account.id.0, &account.search_text()).await?;
    Ok(())
}

/// Is the username, is the nickname taken?
pub async fn is_taken(query: &impl Query, username: &str, nickname: &str) -> Result<(bool, bool), DbError> {
    let sql = "SELECT (SELECT count(*) FROM account WHERE username = $1), (SELECT count(*) FROM account WHERE nickname_key = $2)";
    let row = query.one::<(i64, i64)>(sql, args![username, fold(nickname)]).await?;
    Ok(row.map_or((false, false), |(usernames, nicknames)| (usernames > 0, nicknames > 0)))
}

/// What a manager looks for.
pub struct Filter {
    /// Parts of the username, name, nickname, e-mail address or telephone number; empty for everybody.
    pub text: String,
    pub role: Option<Role>,
    pub banned: Option<bool>,
}

/// People, the newest account first, one more than `limit`.
pub async fn accounts_page(
    db: &Db,
    filter: &Filter,
    after: Option<Cursor>,
    limit: i64,
) -> Result<Vec<Account>, DbError> {
    let mut conditions = String::new();
    let mut args = args![after.map_or(Uuid::max(), |cursor| cursor.id), limit + 1];
    if let Some((found, wanted)) = SEARCH.condition(db, &filter.text, "id", args.len() + 1) {
        args.push(wanted);
        conditions += &format!(" AND {found}");
    }
    if let Some(role) = filter.role {
        args.push(role.as_str().into());
        conditions += &format!(" AND role = ${}", args.len());
    }
    match filter.banned {
        Some(true) => conditions += " AND banned_ms IS NOT NULL",
        Some(false) => conditions += " AND banned_ms IS NULL",
        None => {}
    }
    let sql = format!("{COLUMNS} WHERE rehearsal_id IS NULL AND id < $1{conditions} ORDER BY id DESC LIMIT $2");
    Ok(db.all::<AccountRow>(&sql, args).await?.into_iter().map(Account::from).collect())
}

/// The friendly answer to a unique key that somebody else has.
fn taken(error: DbError) -> Problem {
    // SQLite names the column (`account.nickname_key`), PostgreSQL the constraint (`account_nickname_key_key`).
    if error.is_unique_on(&["nickname_key"]) {
        Problem::new(&error::NICKNAME_TAKEN)
    } else if error.is_unique_on(&["username"]) {
        Problem::new(&error::USERNAME_TAKEN)
    } else {
        error.into()
    }
}
