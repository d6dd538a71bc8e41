//! Search: which things have a text that contains every word of a query, in any script.
//!
//! A text is cut into overlapping pairs of characters, so that Korean words of two syllables are found inside
//! longer ones, and a word of a query is looked up as the phrase of its pairs. FTS5 holds them on SQLite, a GIN
//! index over `tsvector` on PostgreSQL; both answer what a scan for the words would.
//!
//! | text | stored | query | looked up |
//! |---|---|---|---|
//! | `한강 10K` | `한강` `강` · `10` `0k` `k` | `강` | any pair that begins with `강` |
//! | `마라톤` | `마라` `라톤` `톤` | `라톤` | the phrase `라톤` |

use std::fmt::Write;

use unicode_normalization::UnicodeNormalization;
use uuid::Uuid;

use crate::db::{Db, DbError, Kind, Query, Tx, Value, args};

/// Characters of a text that are searched. PostgreSQL keeps 256 places of one pair and counts to 16,383.
const CHARS_MAX: usize = 4_000;

/// One searched kind of thing; the name is that of its table in the context's database.
#[derive(Clone, Copy, Debug)]
pub struct Index(pub &'static str);

impl Index {
    /// Makes the tables where they are missing; to be called after the context's migrations.
    pub async fn create(self, db: &Db) -> Result<(), DbError> {
        let table = self.0;
        let steps = db.pick(
            vec![
                format!("CREATE TABLE IF NOT EXISTS {table}_row (no INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL UNIQUE) STRICT"),
                format!(
                    "CREATE VIRTUAL TABLE IF NOT EXISTS {table}
                     USING fts5(pairs, content='', contentless_delete=1, tokenize='ascii')"
                ),
            ],
            vec![
                // Why: two processes that start at once would both create the table.
                "SELECT pg_advisory_xact_lock(hashtext('madang-search'))".to_owned(),
                format!("CREATE TABLE IF NOT EXISTS {table} (id uuid PRIMARY KEY, pairs tsvector NOT NULL)"),
                format!("CREATE INDEX IF NOT EXISTS {table}_pairs ON {table} USING gin (pairs)"),
            ],
        );
        db.write(move |tx| {
            Box::pin(async move {
                for step in steps {
                    tx.run(&step, args![]).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Sets the text `id` is found by.
    pub async fn put(self, tx: &Tx, id: Uuid, text: &str) -> Result<(), DbError> {
        let table = self.0;
        let pairs = pairs_of_text(text);
        match tx.db().kind() {
            Kind::Sqlite => {
                let sql = format!("INSERT INTO {table}_row (id) VALUES ($1) ON CONFLICT DO NOTHING");
                tx.run(&sql, args![id]).await?;
                let sql = format!(
                    "INSERT OR REPLACE INTO {table} (rowid, pairs) SELECT no, $2 FROM {table}_row WHERE id = $1"
                );
                tx.run(&sql, args![id, pairs.join(" ")]).await?;
            }
            Kind::Postgres => {
                let sql = format!(
                    "INSERT INTO {table} (id, pairs) VALUES ($1, CAST($2 AS tsvector))
                     ON CONFLICT (id) DO UPDATE SET pairs = excluded.pairs"
                );
                tx.run(&sql, args![id, tsvector(&pairs)]).await?;
            }
        }
        Ok(())
    }

    /// Forgets `id`.
    pub async fn remove(self, tx: &Tx, id: Uuid) -> Result<(), DbError> {
        let table = self.0;
        if tx.db().kind() == Kind::Sqlite {
            let sql = format!("DELETE FROM {table} WHERE rowid = (SELECT no FROM {table}_row WHERE id = $1)");
            tx.run(&sql, args![id]).await?;
        }
        let rows = tx.db().pick("_row", "");
        tx.run(&format!("DELETE FROM {table}{rows} WHERE id = $1"), args![id]).await?;
        Ok(())
    }

    /// A condition on the id in `column`, to be joined to a query by AND, whose argument is the `$n`-th; none when
    /// the text has no words, which every thing contains.
    pub fn condition(self, db: &Db, text: &str, column: &str, n: usize) -> Option<(String, Value)> {
        let words = words_of(text);
        if words.is_empty() {
            return None;
        }
        let table = self.0;
        let sql = db.pick(
            format!(
                "{column} IN (SELECT r.id FROM {table} JOIN {table}_row r ON r.no = {table}.rowid WHERE {table} MATCH ${n})"
            ),
            format!("{column} IN (SELECT id FROM {table} WHERE pairs @@ CAST(${n} AS tsquery))"),
        );
        let wanted = match db.kind() {
            Kind::Sqlite => match_query(&words),
            Kind::Postgres => tsquery(&words),
        };
        Some((sql, Value::from(wanted)))
    }
}

/// Words in one spelling: NFC, lower case, parted by white space.
fn words_of(text: &str) -> Vec<Vec<char>> {
    let folded: String = text.nfc().flat_map(char::to_lowercase).take(CHARS_MAX).collect();
    folded.split_whitespace().map(|word| word.chars().collect()).collect()
}

/// A pair as a token of plain letters and digits: six hexadecimal digits per character, so that no tokenizer
/// sees anything else in it and one character is a prefix of its pairs.
fn token(pair: &[char]) -> String {
    pair.iter().fold(String::with_capacity(12), |mut token, c| {
        // Writing to a String cannot fail.
        write!(token, "{:06x}", u32::from(*c)).ok();
        token
    })
}

/// The pairs of every word, each word's last character once more by itself: so each character begins a token, and
/// no phrase runs from one word into the next.
fn pairs_of_text(text: &str) -> Vec<String> {
    words_of(text).iter().flat_map(|word| (0..word.len()).map(|at| token(&word[at..word.len().min(at + 2)]))).collect()
}

fn phrase(word: &[char]) -> Vec<String> {
    word.windows(2).map(token).collect()
}

fn match_query(words: &[Vec<char>]) -> String {
    let term = |word: &Vec<char>| match &word[..] {
        [single] => format!("{}*", token(&[*single])),
        _ => format!("\"{}\"", phrase(word).join(" ")),
    };
    words.iter().map(term).collect::<Vec<_>>().join(" AND ")
}

fn tsquery(words: &[Vec<char>]) -> String {
    let term = |word: &Vec<char>| match &word[..] {
        [single] => format!("'{}':*", token(&[*single])),
        _ => format!("({})", phrase(word).iter().map(|pair| format!("'{pair}'")).collect::<Vec<_>>().join(" <-> ")),
    };
    words.iter().map(term).collect::<Vec<_>>().join(" & ")
}

fn tsvector(pairs: &[String]) -> String {
    pairs.iter().enumerate().map(|(at, pair)| format!("'{pair}':{}", at + 1)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
