//! Rows of a batch as column arrays, and the one statement form that writes them on both databases.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::db::Kind;

/// What a context adds to a batch: its own rows for the claims that were made or moved.
///
/// Total: no reads, no decisions, no failure; rows are keyed by the claim's id.
pub trait Rows: Send + Sync + 'static {
    fn rows(&self, decided: &[admission::Decided]) -> Vec<RowSet>;
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

    fn json(&self, row: usize) -> Value {
        match self {
            Column::Uuid(values) => json!(values[row].map(|id| id.simple().to_string())),
            Column::Int(values) => json!(values[row]),
            Column::Text(values) => json!(values[row]),
            Column::Bytes(values) => json!(values[row].as_ref().map(hex::encode)),
        }
    }

    /// The expression that reads value `at` of the JSON array `e.value`.
    fn read(&self, kind: Kind, at: usize) -> String {
        match (self, kind) {
            (Column::Uuid(_) | Column::Bytes(_), Kind::Sqlite) => format!("unhex(e.value ->> {at})"),
            (_, Kind::Sqlite) => format!("e.value ->> {at}"),
            (Column::Uuid(_), Kind::Postgres) => format!("(e.value ->> {at})::uuid"),
            (Column::Bytes(_), Kind::Postgres) => format!("decode(e.value ->> {at}, 'hex')"),
            (Column::Int(_), Kind::Postgres) => format!("(e.value ->> {at})::bigint"),
            (Column::Text(_), Kind::Postgres) => format!("e.value ->> {at}"),
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

    /// The statement that writes the rows out of the JSON bound as `$n`.
    pub(crate) fn sql(&self, kind: Kind, n: usize) -> String {
        let source = match kind {
            Kind::Sqlite => format!("json_each(${n}) e"),
            Kind::Postgres => format!("json_array_elements(${n}::json) e(value)"),
        };
        let reads = |(at, (name, column)): (usize, &(&str, Column))| format!("{} AS {name}", column.read(kind, at));
        let reads: Vec<String> = self.columns.iter().enumerate().map(reads).collect();
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        let (table, reads) = (self.table, reads.join(", "));
        match self.mode {
            Mode::Delete => {
                format!("DELETE FROM {table} WHERE ({}) IN (SELECT {reads} FROM {source})", names.join(", "))
            }
            Mode::Insert => format!("INSERT INTO {table} ({}) SELECT {reads} FROM {source}", names.join(", ")),
            // Why WHERE true: without it SQLite takes ON for a join's.
            Mode::Keep => format!(
                "INSERT INTO {table} ({}) SELECT {reads} FROM {source} WHERE true ON CONFLICT DO NOTHING",
                names.join(", ")
            ),
            Mode::Update { keys } => {
                let set: Vec<String> = names[keys..].iter().map(|name| format!("{name} = s.{name}")).collect();
                let same: Vec<String> = names[..keys].iter().map(|name| format!("{table}.{name} = s.{name}")).collect();
                let (set, same) = (set.join(", "), same.join(" AND "));
                format!("UPDATE {table} SET {set} FROM (SELECT {reads} FROM {source}) s WHERE {same}")
            }
        }
    }

    /// The rows as a JSON array of arrays, in the columns' order.
    pub(crate) fn json(&self) -> String {
        let row = |row| Value::Array(self.columns.iter().map(|(_, column)| column.json(row)).collect());
        Value::Array((0..self.len()).map(row).collect()).to_string()
    }
}
