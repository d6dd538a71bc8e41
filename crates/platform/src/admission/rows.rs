//! Rows of a batch as column arrays, and the one statement form that writes them on both databases.

use kernel::OfferId;
use serde::{Serialize, Serializer};
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use uuid::Uuid;

use crate::db::{DbError, Kind, Query, Tx, Value};

pub(super) type PgQuery<'q> = sqlx::query::Query<'q, Postgres, PgArguments>;

/// What a context adds to a batch: its own rows for the claims that were made or moved.
///
/// Total: no reads, no decisions, no failure; rows are keyed by the claim's id.
pub trait Rows: Send + Sync + 'static {
    fn rows(&self, offer: OfferId, decided_ms: i64, decided: &[admission::Decided]) -> Vec<RowSet>;
}

/// Rows of one table.
#[derive(Clone, Debug)]
pub struct RowSet {
    pub table: &'static str,
    /// In [`Mode::Update`] the first `keys` columns say which row.
    pub columns: Vec<(&'static str, Column)>,
    pub mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Insert,
    /// Inserts what is not there yet.
    Keep,
    /// Sets the other columns where the first so many are equal.
    Update {
        keys: usize,
    },
    /// Deletes the rows whose columns are equal to these.
    Delete,
}

/// The values of one column, one per row.
#[derive(Clone, Debug)]
pub enum Column {
    Uuid(Vec<Option<Uuid>>),
    Int(Vec<Option<i64>>),
    Text(Vec<Option<String>>),
    Bytes(Vec<Option<Vec<u8>>>),
}

impl Column {
    fn len(&self) -> usize {
        match self {
            Column::Uuid(values) => values.len(),
            Column::Int(values) => values.len(),
            Column::Text(values) => values.len(),
            Column::Bytes(values) => values.len(),
        }
    }

    fn remove(&mut self, row: usize) {
        match self {
            Column::Uuid(values) => drop(values.remove(row)),
            Column::Int(values) => drop(values.remove(row)),
            Column::Text(values) => drop(values.remove(row)),
            Column::Bytes(values) => drop(values.remove(row)),
        }
    }

    /// Adds a value of another column of the same type.
    fn push_from(&mut self, other: &Column, row: usize) {
        match (self, other) {
            (Column::Uuid(mine), Column::Uuid(theirs)) => mine.push(theirs[row]),
            (Column::Int(mine), Column::Int(theirs)) => mine.push(theirs[row]),
            (Column::Text(mine), Column::Text(theirs)) => mine.push(theirs[row].clone()),
            (Column::Bytes(mine), Column::Bytes(theirs)) => mine.push(theirs[row].clone()),
            _ => debug_assert!(false, "columns of one shape"),
        }
    }

    fn value(&self, row: usize) -> Value {
        match self {
            Column::Uuid(values) => values[row].into(),
            Column::Int(values) => values[row].into(),
            Column::Text(values) => values[row].clone().into(),
            Column::Bytes(values) => values[row].clone().into(),
        }
    }

    /// The expression that reads value `at` of the JSON array `e.value`, on SQLite. A row is binary JSON: as text it would
    /// be parsed anew for each of its columns.
    fn read(&self, at: usize) -> String {
        match self {
            Column::Uuid(_) | Column::Bytes(_) => format!("unhex(e.value ->> {at})"),
            Column::Int(_) | Column::Text(_) => format!("e.value ->> {at}"),
        }
    }

    /// The type of the array it is bound as, on PostgreSQL.
    fn array_type(&self) -> &'static str {
        match self {
            Column::Uuid(_) => "uuid[]",
            Column::Int(_) => "bigint[]",
            Column::Text(_) => "text[]",
            Column::Bytes(_) => "bytea[]",
        }
    }
}

/// Row sets of one shape as one: fewer statements, and a row that is updated twice is updated once, as the later one says.
/// In the one statement that a batch is on PostgreSQL, the second update of a row would be lost.
pub(super) fn gather(sets: impl IntoIterator<Item = RowSet>) -> Vec<RowSet> {
    let mut gathered: Vec<RowSet> = Vec::new();
    for set in sets {
        match gathered.iter_mut().find(|known| known.is_shaped_like(&set)) {
            Some(known) => known.take_in(&set),
            None => gathered.push(set),
        }
    }
    gathered
}

/// One value of a column, as SQLite is handed it.
struct Cell<'a>(&'a Column, usize);

impl Serialize for Cell<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Cell(column, row) = *self;
        match column {
            Column::Uuid(values) => values[row].map(Uuid::simple).serialize(serializer),
            Column::Int(values) => values[row].serialize(serializer),
            Column::Text(values) => values[row].serialize(serializer),
            Column::Bytes(values) => values[row].as_ref().map(hex::encode).serialize(serializer),
        }
    }
}

impl RowSet {
    pub fn len(&self) -> usize {
        self.columns.first().map_or(0, |(_, column)| column.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn is_shaped_like(&self, other: &RowSet) -> bool {
        let shape = |set: &RowSet| -> Vec<_> {
            set.columns.iter().map(|(name, column)| (*name, std::mem::discriminant(column))).collect()
        };
        self.table == other.table && self.mode == other.mode && shape(self) == shape(other)
    }

    /// Adds the rows of a set of the same shape; one of an update replaces an earlier one of the same key.
    fn take_in(&mut self, other: &RowSet) {
        for row in 0..other.len() {
            if let Mode::Update { keys } = self.mode {
                let same = |at: &usize| {
                    let mut pairs = self.columns[..keys].iter().zip(&other.columns);
                    pairs.all(|((_, mine), (_, theirs))| mine.value(*at) == theirs.value(row))
                };
                if let Some(at) = (0..self.len()).find(same) {
                    self.columns.iter_mut().for_each(|(_, column)| column.remove(at));
                }
            }
            for ((_, mine), (_, theirs)) in self.columns.iter_mut().zip(&other.columns) {
                mine.push_from(theirs, row);
            }
        }
    }

    /// The statement that writes the rows out of what is bound from `$n` on: one JSON text on SQLite, an array per column
    /// on PostgreSQL.
    ///
    /// Why OR FAIL on SQLite: a batch that fails is rolled back as a whole, so no statement need keep what it would take to
    /// be undone alone.
    pub(super) fn sql(&self, kind: Kind, n: usize) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        let (table, rows, list) = (self.table, self.select(kind, n), names.join(", "));
        let or_fail = if kind == Kind::Sqlite { " OR FAIL" } else { "" };
        match self.mode {
            Mode::Delete => format!("DELETE FROM {table} WHERE ({list}) IN ({rows})"),
            Mode::Insert => format!("INSERT{or_fail} INTO {table} ({list}) {rows}"),
            // Why WHERE true: without it SQLite takes ON for a join's.
            Mode::Keep => format!("INSERT INTO {table} ({list}) {rows} WHERE true ON CONFLICT DO NOTHING"),
            Mode::Update { keys } => {
                let set: Vec<String> = names[keys..].iter().map(|name| format!("{name} = s.{name}")).collect();
                let same: Vec<String> = names[..keys].iter().map(|name| format!("{table}.{name} = s.{name}")).collect();
                let (set, same) = (set.join(", "), same.join(" AND "));
                format!("UPDATE{or_fail} {table} SET {set} FROM ({rows}) s WHERE {same}")
            }
        }
    }

    /// The bound rows as a SELECT.
    fn select(&self, kind: Kind, n: usize) -> String {
        let columns = self.columns.iter().enumerate();
        match kind {
            Kind::Sqlite => {
                let reads: Vec<String> =
                    columns.map(|(at, (name, column))| format!("{} AS {name}", column.read(at))).collect();
                format!("SELECT {} FROM jsonb_each(${n}) e", reads.join(", "))
            }
            Kind::Postgres => {
                let arrays: Vec<String> =
                    columns.map(|(at, (_, column))| format!("${}::{}", n + at, column.array_type())).collect();
                let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
                format!("SELECT * FROM unnest({}) u({})", arrays.join(", "), names.join(", "))
            }
        }
    }

    /// How many parameters [`RowSet::sql`] takes.
    pub(super) fn parameters(&self, kind: Kind) -> usize {
        match kind {
            Kind::Sqlite => 1,
            Kind::Postgres => self.columns.len(),
        }
    }

    /// Binds each column as an array.
    pub(super) fn bind<'q>(&'q self, query: PgQuery<'q>) -> PgQuery<'q> {
        self.columns.iter().fold(query, |query, (_, column)| match column {
            Column::Uuid(values) => query.bind(values),
            Column::Int(values) => query.bind(values),
            Column::Text(values) => query.bind(values),
            Column::Bytes(values) => query.bind(values),
        })
    }

    /// Inserts the rows in a transaction of the context's: for the few that are not part of a batch. Answers how many
    /// were new.
    pub(crate) async fn insert(&self, tx: &Tx) -> Result<u64, DbError> {
        debug_assert!(matches!(self.mode, Mode::Insert | Mode::Keep));
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        let width = names.len();
        let row = |row: usize| {
            let marks: Vec<String> = (1..=width).map(|at| format!("${}", row * width + at)).collect();
            format!("({})", marks.join(", "))
        };
        let rows: Vec<String> = (0..self.len()).map(row).collect();
        let values = (0..self.len()).flat_map(|row| self.columns.iter().map(move |(_, column)| column.value(row)));
        let keep = if self.mode == Mode::Keep { "ON CONFLICT DO NOTHING" } else { "" };
        let sql = format!("INSERT INTO {} ({}) VALUES {} {keep}", self.table, names.join(", "), rows.join(", "));
        tx.run(&sql, values.collect()).await
    }

    /// The rows as a JSON array of arrays, in the columns' order; SQLite takes them so.
    pub(super) fn json(&self) -> String {
        let row = |row| self.columns.iter().map(|(_, column)| Cell(column, row)).collect();
        let rows: Vec<Vec<Cell>> = (0..self.len()).map(row).collect();
        serde_json::to_string(&rows).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(key: i64, value: &str) -> RowSet {
        let columns = vec![("id", Column::Int(vec![Some(key)])), ("name", Column::Text(vec![Some(value.to_owned())]))];
        RowSet { table: "thing", columns, mode: Mode::Update { keys: 1 } }
    }

    #[test]
    fn a_row_updated_twice_is_updated_once_and_as_told_last() {
        let insert = RowSet { mode: Mode::Insert, ..update(1, "new") };
        let sets = [update(1, "first"), update(2, "other"), insert.clone(), update(1, "last"), insert];
        let gathered = gather(sets);
        assert_eq!(gathered.len(), 2);
        assert_eq!(gathered[0].json(), r#"[[2,"other"],[1,"last"]]"#);
        assert_eq!(gathered[1].json(), r#"[[1,"new"],[1,"new"]]"#, "inserts are never dropped");
    }
}
