//! A store that came out of a backup begins the logs of its offers anew.
//!
//! What an old log said after the backup is gone here, but not for those who heard it: going on with that log would put
//! other leaves in the places they have proofs of. So each offer gets a log that says which leaves of the old one it
//! follows (`continues`, order-log format 1). Closed offers too: the organiser may still assign a place there.
//!
//! Invariant: offers are marked all at once and unmarked one by one, in the transaction that begins the new log. However
//! often the process dies in between, one restore gives an offer one new log.

use kernel::OfferId;
use orderlog::{Frontier, origin};
use uuid::Uuid;

use super::rows::{Column, Mode, RowSet};
use super::store::{Ask, OfferTx, as_i64};
use super::{Admission, Shared};
use crate::db::{DbError, Kind, Query, args};

const MARK: &str = "INSERT INTO offer_restored (offer_id) SELECT id FROM offer WHERE true ON CONFLICT DO NOTHING";
const MARKED: &str = "SELECT offer_id FROM offer_restored ORDER BY offer_id LIMIT 100";

impl Admission {
    /// Notes that the log of every offer is to begin anew.
    pub async fn mark_restored(&self) -> Result<u64, DbError> {
        self.0.db.write(|tx| Box::pin(async move { tx.run(MARK, args![]).await })).await
    }

    /// Begins the log of each marked offer anew; answers how many. Several processes may do so at the same time.
    pub async fn begin_logs_anew(&self) -> Result<u64, DbError> {
        let mut begun = 0;
        loop {
            let marked = self.0.db.all::<(Uuid,)>(MARKED, args![]).await?;
            if marked.is_empty() {
                return Ok(begun);
            }
            for (offer,) in marked {
                begun += u64::from(begin_anew(&self.0, offer).await?);
            }
        }
    }
}

/// False where another process was faster.
async fn begin_anew(shared: &Shared, offer: Uuid) -> Result<bool, DbError> {
    let mut tx = OfferTx::begin(&shared.db).await?;
    let row = tx.lock(offer).await?;
    let id = || Column::Uuid(vec![Some(offer)]);
    let unmark = RowSet { table: "offer_restored", columns: vec![("offer_id", id())], mode: Mode::Delete };
    let marked = tx.write_sets(&[unmark]).await? > 0;
    let Some(row) = row.filter(|_| marked) else {
        tx.commit().await?;
        return Ok(false);
    };
    let rules = super::view::rules_in(shared, &mut tx, offer, &row.rules_sha).await?;
    let ask = Ask { blobs_from: as_i64(row.size), ..Ask::default() };
    let facts = tx.facts(offer, &ask).await?;
    let now_ms = match shared.db.kind() {
        Kind::Sqlite => shared.db.clock().now_ms(),
        Kind::Postgres => facts.now_ms,
    };
    let (old, root) = (origin(&row.base, row.log_no), row.frontier.root());
    let (head, leaves) = row.head(rules, facts.pools).continues(old, root, now_ms);
    let lines: Vec<String> = leaves.iter().map(ToString::to_string).collect();
    let (bundle, appended) = super::sequencer::append(Frontier::default(), &lines)?;
    let int = |value: i64| Column::Int(vec![Some(value)]);
    let bytes = |value: Vec<u8>| Column::Bytes(vec![Some(value)]);
    let log_no = || int(i64::from(head.log_no));
    let next_head = RowSet {
        table: "offer",
        columns: vec![
            ("id", id()),
            ("log_no", log_no()),
            ("size", int(as_i64(head.size))),
            ("frontier", bytes(appended.frontier().to_bytes())),
            ("decided_ms", int(head.decided_ms)),
            ("free_epoch", int(as_i64(head.free_epoch))),
            ("refusals", int(as_i64(head.refusals))),
        ],
        mode: Mode::Update { keys: 1 },
    };
    let batch = RowSet {
        table: "log_batch",
        columns: vec![
            ("offer_id", id()),
            ("log_no", log_no()),
            ("first_index", int(0)),
            ("count", int(as_i64(head.size))),
            ("leaves", bytes(bundle)),
        ],
        mode: Mode::Insert,
    };
    let log = RowSet {
        table: "offer_log",
        columns: vec![
            ("offer_id", id()),
            ("log_no", log_no()),
            ("first_seq", int(as_i64(head.next_seq))),
            ("begun_ms", int(head.decided_ms)),
        ],
        mode: Mode::Insert,
    };
    tx.write_sets(&[next_head, batch, log]).await?;
    tx.commit().await?;
    // From here on nobody is told again, out of memory, what the old log said.
    shared.offer(OfferId(offer)).see(head);
    Ok(true)
}
