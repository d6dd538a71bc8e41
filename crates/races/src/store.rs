//! All statements of races; registrations, rehearsals and people in files of their own.

pub mod funnel;
pub mod messages;
pub mod people;
pub mod progress;
pub mod registrations;
pub mod rehearsals;

use std::collections::HashMap;

use kernel::{Cursor, OfferId, RaceId, UserId, Won};
use orderlog::PoolCode;
use platform::db::{Db, DbError, FromQueryResult, Query, Tx, Value, args};
use platform::search::Index;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::model::{Course, CourseType, Race, RulesEdit, SouvenirRule};

/// Races by title and place.
pub const RACES: Index = Index("race_words");
/// People by username, name and nickname.
pub const PEOPLE: Index = Index("person_words");

/// A statement's conditions, joined by AND, with their arguments.
pub struct Conditions {
    sql: Vec<String>,
    args: Vec<Value>,
}

impl Conditions {
    pub fn new() -> Self {
        Self { sql: Vec::new(), args: Vec::new() }
    }

    /// Adds a condition; `?` in it stands for the value.
    pub fn add(&mut self, sql: &str, value: impl Into<Value>) {
        self.args.push(value.into());
        self.sql.push(sql.replace('?', &format!("${}", self.args.len())));
    }

    pub fn add_bare(&mut self, sql: impl Into<String>) {
        self.sql.push(sql.into());
    }

    /// Adds a search, if the text has words.
    pub fn search(&mut self, db: &Db, index: Index, text: &str, column: &str) {
        if let Some((sql, value)) = index.condition(db, text, column, self.args.len() + 1) {
            self.args.push(value);
            self.sql.push(sql);
        }
    }

    pub fn finish(self) -> (String, Vec<Value>) {
        (self.sql.join(" AND "), self.args)
    }
}

/// The states a race shows, as a list filters by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RaceState {
    Scheduled,
    Open,
    Paused,
    SoldOut,
    Closed,
    Cancelled,
}

/// Which races a list shows; those of nobody in particular are public and not deleted.
#[derive(Default)]
pub struct RaceFilter<'a> {
    pub text: Option<&'a str>,
    pub kind: Option<CourseType>,
    pub state: Option<RaceState>,
    /// Race days from here on.
    pub from_ms: Option<i64>,
    /// Race days before this.
    pub to_ms: Option<i64>,
    pub owner: Option<UserId>,
    pub after: Option<Cursor>,
    pub limit: i64,
}

#[derive(FromQueryResult)]
struct RaceRow {
    id: Uuid,
    owner_id: Uuid,
    offer_id: Uuid,
    title: String,
    description: String,
    place: String,
    race_at_ms: i64,
    terms: String,
    terms_version: i64,
    souvenir_rule: String,
    souvenirs: String,
    refund_rules: String,
    rules_edit: Option<String>,
    hidden: i64,
    version: i64,
    created_ms: i64,
    cancelled_ms: Option<i64>,
    deleted_ms: Option<i64>,
}
platform::rows!(RaceRow);

const COLUMNS: &str =
    "race.id, race.owner_id, race.offer_id, race.title, race.description, race.place, race.race_at_ms,
    race.terms, race.terms_version, race.souvenir_rule, race.souvenirs, race.refund_rules, race.rules_edit, race.hidden,
    race.version, race.created_ms, race.cancelled_ms, race.deleted_ms";

pub async fn insert_race(tx: &Tx, race: &Race) -> Result<(), DbError> {
    let sql = "INSERT INTO race (id, owner_id, offer_id, title, description, place, race_at_ms, terms, terms_version,
                   souvenir_rule, souvenirs, refund_rules, hidden, version, created_ms, created_by, changed_ms, changed_by)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $2, $15, $2)";
    let args = args![
        race.id.0,
        race.owner.0,
        race.offer.0,
        race.title.as_str(),
        race.description.as_str(),
        race.place.as_str(),
        race.race_at_ms,
        race.terms.as_str(),
        race.terms_version,
        race.souvenir_rule.as_str(),
        to_json(&race.souvenirs),
        to_json(&race.refund_rules),
        i64::from(race.hidden),
        race.version,
        race.created_ms,
    ];
    tx.run(sql, args).await?;
    put_courses(tx, race).await?;
    if !race.hidden {
        RACES.put(tx, race.id.0, &searched(race)).await?;
    }
    Ok(())
}

/// Writes an edited race over the version it was made from; false when that has moved on.
pub async fn update_race(tx: &Tx, race: &Race, by: UserId, now_ms: i64) -> Result<bool, DbError> {
    let sql =
        "UPDATE race SET title = $3, description = $4, place = $5, race_at_ms = $6, terms = $7, terms_version = $8,
                   souvenir_rule = $9, souvenirs = $10, refund_rules = $11, rules_edit = $12, version = version + 1,
                   changed_ms = $13, changed_by = $14
               WHERE id = $1 AND version = $2 AND deleted_ms IS NULL";
    let args = args![
        race.id.0,
        race.version,
        race.title.as_str(),
        race.description.as_str(),
        race.place.as_str(),
        race.race_at_ms,
        race.terms.as_str(),
        race.terms_version,
        race.souvenir_rule.as_str(),
        to_json(&race.souvenirs),
        to_json(&race.refund_rules),
        race.rules_edit.as_ref().map(to_json),
        now_ms,
        by.0,
    ];
    if tx.run(sql, args).await? == 0 {
        return Ok(false);
    }
    tx.run("DELETE FROM race_course WHERE race_id = $1", args![race.id.0]).await?;
    put_courses(tx, race).await?;
    if !race.hidden {
        RACES.put(tx, race.id.0, &searched(race)).await?;
    }
    Ok(true)
}

/// Takes the race out of every list; what others rely on (registrations, the order log) stays.
pub async fn mark_deleted(tx: &Tx, race: RaceId, by: UserId, now_ms: i64) -> Result<(), DbError> {
    let sql = "UPDATE race SET deleted_ms = $2, changed_ms = $2, changed_by = $3, version = version + 1 WHERE id = $1";
    tx.run(sql, args![race.0, now_ms, by.0]).await?;
    RACES.remove(tx, race.0).await
}

pub async fn mark_cancelled(tx: &Tx, race: RaceId, by: UserId, now_ms: i64) -> Result<(), DbError> {
    let sql = "UPDATE race SET cancelled_ms = $2, changed_ms = $2, changed_by = $3, version = version + 1
               WHERE id = $1 AND cancelled_ms IS NULL";
    tx.run(sql, args![race.0, now_ms, by.0]).await?;
    Ok(())
}

/// The race, deleted ones too.
pub async fn find_race(q: &impl Query, id: RaceId) -> Result<Option<Race>, DbError> {
    let sql = format!("SELECT {COLUMNS} FROM race WHERE id = $1");
    let rows = q.all::<RaceRow>(&sql, args![id.0]).await?;
    Ok(whole(q, rows).await?.pop())
}

#[derive(FromQueryResult)]
pub struct WatchedRace {
    pub id: Uuid,
    pub offer_id: Uuid,
    pub cancelled_ms: Option<i64>,
}
platform::rows!(WatchedRace);

/// What a live page needs of these races, those that were deleted left out.
pub async fn watched_races(q: &impl Query, ids: &[RaceId]) -> Result<Vec<WatchedRace>, DbError> {
    let places: Vec<String> = (1..=ids.len()).map(|at| format!("${at}")).collect();
    let sql = format!(
        "SELECT id, offer_id, cancelled_ms FROM race WHERE id IN ({}) AND deleted_ms IS NULL",
        places.join(", ")
    );
    q.all(&sql, ids.iter().map(|id| id.0.into()).collect()).await
}

/// The offer a race sells by, also when the race was deleted: its log stays public.
pub async fn offer_of(q: &impl Query, race: RaceId) -> Result<Option<OfferId>, DbError> {
    let row = q.one::<(Uuid,)>("SELECT offer_id FROM race WHERE id = $1", args![race.0]).await?;
    Ok(row.map(|row| OfferId(row.0)))
}

/// One more than `filter.limit` races, newest first.
pub async fn list_races(db: &Db, filter: &RaceFilter<'_>, now_ms: i64) -> Result<Vec<Race>, DbError> {
    let mut wanted = Conditions::new();
    wanted.add_bare("race.hidden = 0 AND race.deleted_ms IS NULL");
    if let Some(text) = filter.text {
        wanted.search(db, RACES, text, "race.id");
    }
    if let Some(kind) = filter.kind {
        wanted.add("EXISTS (SELECT 1 FROM race_course k WHERE k.kind = ? AND k.race_id = race.id)", kind.as_str());
    }
    if let Some(state) = filter.state {
        state.condition(&mut wanted, now_ms);
    }
    if let Some(from_ms) = filter.from_ms {
        wanted.add("race.race_at_ms >= ?", from_ms);
    }
    if let Some(to_ms) = filter.to_ms {
        wanted.add("race.race_at_ms < ?", to_ms);
    }
    if let Some(owner) = filter.owner {
        wanted.add("race.owner_id = ?", owner.0);
    }
    if let Some(after) = filter.after {
        wanted.add("race.id < ?", after.id);
    }
    let (conditions, args) = wanted.finish();
    let limit = filter.limit + 1;
    let sql = format!(
        "SELECT {COLUMNS} FROM race JOIN offer o ON o.id = race.offer_id
         WHERE {conditions} ORDER BY race.id DESC LIMIT {limit}"
    );
    let rows = db.all::<RaceRow>(&sql, args).await?;
    whole(db, rows).await
}

impl RaceState {
    /// The same order of precedence as the offer's own state has.
    fn condition(self, wanted: &mut Conditions, now_ms: i64) {
        const FREE: &str =
            "EXISTS (SELECT 1 FROM offer_pool p JOIN race_course k ON k.race_id = race.id AND k.code = p.code
            WHERE p.offer_id = o.id AND p.taken + p.held_back < p.capacity)";
        if self == RaceState::Cancelled {
            return wanted.add_bare("race.cancelled_ms IS NOT NULL");
        }
        wanted.add_bare("race.cancelled_ms IS NULL");
        if self == RaceState::Closed {
            return wanted.add("(o.closed = 1 OR o.closes_ms <= ?)", now_ms);
        }
        wanted.add("o.closed = 0 AND o.closes_ms > ?", now_ms);
        if self == RaceState::Paused {
            return wanted.add_bare("o.paused = 1");
        }
        wanted.add_bare("o.paused = 0");
        if self == RaceState::Scheduled {
            return wanted.add("o.opens_ms > ?", now_ms);
        }
        wanted.add("o.opens_ms <= ?", now_ms);
        wanted.add_bare(if self == RaceState::SoldOut { format!("NOT {FREE}") } else { FREE.to_owned() });
    }
}

/// Whether anybody ever had a claim on the offer.
pub async fn has_claims(q: &impl Query, offer: OfferId) -> Result<bool, DbError> {
    let sql = "SELECT seq FROM claim WHERE offer_id = $1 ORDER BY seq LIMIT 1";
    Ok(q.one::<(i64,)>(sql, args![offer.0]).await?.is_some())
}

pub async fn has_open_claims(q: &impl Query, offer: OfferId) -> Result<bool, DbError> {
    let sql = "SELECT seq FROM claim WHERE offer_id = $1 AND ended_ms IS NULL LIMIT 1";
    Ok(q.one::<(i64,)>(sql, args![offer.0]).await?.is_some())
}

/// Keeps every batch of the offer out until this transaction ends.
pub async fn lock_offer(tx: &Tx, offer: OfferId) -> Result<(), DbError> {
    let sql = tx.db().pick("SELECT id FROM offer WHERE id = $1", "SELECT id FROM offer WHERE id = $1 FOR UPDATE");
    tx.one::<(Uuid,)>(sql, args![offer.0]).await?;
    Ok(())
}

/// Some races with an edit that their offer has not taken over.
pub async fn races_with_rules_edit(db: &Db) -> Result<Vec<RaceId>, DbError> {
    let rows =
        db.all::<(Uuid,)>("SELECT id FROM race WHERE rules_edit IS NOT NULL ORDER BY id LIMIT 100", args![]).await?;
    Ok(rows.into_iter().map(|row| RaceId(row.0)).collect())
}

/// Some cancelled races whose sale is not closed, or that have open claims.
pub async fn cancelled_with_claims(db: &Db) -> Result<Vec<RaceId>, DbError> {
    let sql = "SELECT race.id FROM race JOIN offer o ON o.id = race.offer_id
               WHERE race.cancelled_ms IS NOT NULL AND (o.closed = 0 OR EXISTS (
                   SELECT 1 FROM claim c WHERE c.offer_id = o.id AND c.ended_ms IS NULL AND c.state <> 'paying'))
               ORDER BY race.id LIMIT 100";
    let rows = db.all::<(Uuid,)>(sql, args![]).await?;
    Ok(rows.into_iter().map(|row| RaceId(row.0)).collect())
}

/// Forgets the edit that the offer took over, unless a later one has come.
pub async fn clear_rules_edit(tx: &Tx, race: RaceId, edit: &RulesEdit) -> Result<(), DbError> {
    let sql = "UPDATE race SET rules_edit = NULL WHERE id = $1 AND rules_edit = $2";
    tx.run(sql, args![race.0, to_json(edit)]).await?;
    Ok(())
}

async fn put_courses(tx: &Tx, race: &Race) -> Result<(), DbError> {
    let sql = "INSERT INTO race_course (race_id, no, code, kind, distance_m, fee_won) VALUES ($1, $2, $3, $4, $5, $6)";
    for (no, course) in (1i64..).zip(&race.courses) {
        let args = args![race.id.0, no, &*course.code, course.kind.as_str(), course.distance_m, course.fee.0];
        tx.run(sql, args).await?;
    }
    Ok(())
}

/// Adds the courses to their races.
async fn whole(q: &impl Query, rows: Vec<RaceRow>) -> Result<Vec<Race>, DbError> {
    #[derive(FromQueryResult)]
    struct CourseRow {
        race_id: Uuid,
        code: String,
        kind: String,
        distance_m: i64,
        fee_won: i64,
    }
    platform::rows!(CourseRow);
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let places: Vec<String> = (1..=rows.len()).map(|n| format!("${n}")).collect();
    let sql = format!(
        "SELECT race_id, code, kind, distance_m, fee_won FROM race_course WHERE race_id IN ({}) ORDER BY race_id, no",
        places.join(", ")
    );
    let mut courses: HashMap<Uuid, Vec<Course>> = HashMap::new();
    for row in q.all::<CourseRow>(&sql, rows.iter().map(|row| Value::from(row.id)).collect()).await? {
        let course = Course {
            code: PoolCode::new(&row.code).map_err(|_| broken("the code of a course"))?,
            kind: CourseType::parse(&row.kind).ok_or_else(|| broken("the type of a course"))?,
            distance_m: row.distance_m,
            fee: Won(row.fee_won),
        };
        courses.entry(row.race_id).or_default().push(course);
    }
    rows.into_iter().map(|row| row.race(&mut courses)).collect()
}

impl RaceRow {
    fn race(self, courses: &mut HashMap<Uuid, Vec<Course>>) -> Result<Race, DbError> {
        Ok(Race {
            id: RaceId(self.id),
            owner: UserId(self.owner_id),
            offer: OfferId(self.offer_id),
            title: self.title,
            description: self.description,
            place: self.place,
            race_at_ms: self.race_at_ms,
            terms: self.terms,
            terms_version: self.terms_version,
            souvenir_rule: match self.souvenir_rule.as_str() {
                "required" => SouvenirRule::Required,
                _ => SouvenirRule::Optional,
            },
            souvenirs: of_json(&self.souvenirs)?,
            refund_rules: of_json(&self.refund_rules)?,
            courses: courses.remove(&self.id).unwrap_or_default(),
            rules_edit: self.rules_edit.as_deref().map(of_json).transpose()?,
            hidden: self.hidden != 0,
            version: self.version,
            created_ms: self.created_ms,
            cancelled_ms: self.cancelled_ms,
            deleted_ms: self.deleted_ms,
        })
    }
}

fn searched(race: &Race) -> String {
    format!("{} {}", race.title, race.place)
}

fn to_json(value: &impl serde::Serialize) -> String {
    // Our own types, with string keys only: always writable.
    serde_json::to_string(value).unwrap_or_default()
}

fn of_json<T: DeserializeOwned>(text: &str) -> Result<T, DbError> {
    serde_json::from_str(text).map_err(|error| broken(&error.to_string()))
}

fn broken(what: &str) -> DbError {
    DbError::Failed(std::io::Error::other(format!("a stored race cannot be read: {what}")).into())
}
