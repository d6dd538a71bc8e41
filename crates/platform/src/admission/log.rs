//! Reading the log: sizes, leaves, tiles, checkpoints and receipts out of batches and node rows.
//!
//! Whatever is asked reads at most 256 leaves or nodes per level of the tree.

use std::collections::HashMap;

use futures::TryStreamExt;
use orderlog::tiles::{TILE_WIDTH, Tile, TileKind};
use orderlog::{Frontier, Hash, Node, inclusion, inclusion_steps, leaf_hash, origin, sign_checkpoint, tiles};
use sqlx::Row;
use uuid::Uuid;

use super::Shared;
use super::store::{as_i64, broken};
use crate::db::{Db, DbError, Kind, Query, args};

/// One of an offer's logs, as far as it is committed.
pub(super) struct LogHead {
    pub origin: String,
    pub log_no: u32,
    pub frontier: Frontier,
}

/// `(log_no, size)` of the newest log.
pub(super) async fn size(db: &Db, offer: Uuid) -> Result<Option<(u32, u64)>, DbError> {
    let row = db.one::<(i64, i64)>("SELECT log_no, size FROM offer WHERE id = $1", args![offer]).await?;
    Ok(row.map(|(log_no, size)| (u32::try_from(log_no).unwrap_or(0), size.unsigned_abs())))
}

/// Hands `take` the entry bundles from an index on, as they were committed, each while the next ones are being read.
pub(super) async fn each_bundle(
    db: &Db,
    offer: Uuid,
    log_no: u32,
    from: u64,
    mut take: impl FnMut(u64, &[u8]) -> Result<(), DbError>,
) -> Result<(), DbError> {
    const SQL: &str = "SELECT first_index, leaves FROM log_batch
        WHERE offer_id = $1 AND log_no = $2 AND first_index >= $3 ORDER BY first_index";
    macro_rules! read {
        ($pool:expr) => {{
            let mut rows = sqlx::query(SQL).bind(offer).bind(i64::from(log_no)).bind(as_i64(from)).fetch($pool);
            while let Some(row) = rows.try_next().await? {
                take(row.try_get::<i64, _>(0)?.unsigned_abs(), row.try_get(1)?)?;
            }
        }};
    }
    match db.kind() {
        Kind::Sqlite => read!(db.sqlite_reader()),
        Kind::Postgres => read!(db.postgres()),
    }
    Ok(())
}

/// The newest log's head, or that of an older one (which ended where the next began).
pub(super) async fn head(shared: &Shared, offer: Uuid, log_no: Option<u32>) -> Result<Option<LogHead>, DbError> {
    let sql = "SELECT base, log_no, size, frontier FROM offer WHERE id = $1";
    let Some((base, newest, size, frontier)) = shared.db.one::<(String, i64, i64, Vec<u8>)>(sql, args![offer]).await?
    else {
        return Ok(None);
    };
    let newest = u32::try_from(newest).unwrap_or(0);
    match log_no {
        None => {}
        Some(asked) if asked == newest => {}
        Some(asked) if (1..newest).contains(&asked) => return ended(shared, offer, &base, asked).await.map(Some),
        Some(_) => return Ok(None),
    }
    let frontier = Frontier::from_bytes(size.unsigned_abs(), &frontier).map_err(|error| broken(&error.to_string()))?;
    Ok(Some(LogHead { origin: origin(&base, newest), log_no: newest, frontier }))
}

/// Which log of the offer holds the leaf of the claim of this number.
pub(super) async fn of_claim(db: &Db, offer: Uuid, seq: u64) -> Result<u32, DbError> {
    let sql = "SELECT coalesce(max(log_no), 1) FROM offer_log WHERE offer_id = $1 AND first_seq <= $2";
    let row = db.one::<(i64,)>(sql, args![offer, as_i64(seq)]).await?;
    Ok(row.and_then(|(log_no,)| u32::try_from(log_no).ok()).unwrap_or(1))
}

/// The head of a log that another continues: all its committed leaves.
async fn ended(shared: &Shared, offer: Uuid, base: &str, log_no: u32) -> Result<LogHead, DbError> {
    let sql = "SELECT coalesce(max(first_index + count), 0) FROM log_batch WHERE offer_id = $1 AND log_no = $2";
    let size =
        shared.db.one::<(i64,)>(sql, args![offer, i64::from(log_no)]).await?.map_or(0, |row| row.0).unsigned_abs();
    let nodes = orderlog::frontier_nodes(size);
    let known = prefetch(shared, offer, log_no, size, nodes.iter().copied()).await?;
    let nodes = nodes.into_iter().map(|node| known.node(node)).collect::<Result<_, _>>()?;
    Ok(LogHead { origin: origin(base, log_no), log_no, frontier: Frontier { size, nodes } })
}

impl LogHead {
    pub fn checkpoint(&self, shared: &Shared) -> String {
        sign_checkpoint(&shared.keys.log, &self.origin, self.frontier.size, &self.frontier.root())
    }

    /// The receipt of a leaf against this head.
    pub async fn receipt(&self, shared: &Shared, offer: Uuid, index: u64) -> Result<Option<String>, DbError> {
        let size = self.frontier.size;
        if index >= size {
            return Ok(None);
        }
        let wanted = inclusion_steps(index, size).into_iter().flatten();
        let known = prefetch(shared, offer, self.log_no, size, wanted).await?;
        let proof = inclusion(index, size, |node| known.node(node))?;
        let Some(line) = leaves(&shared.db, offer, self.log_no, index, 1).await?.pop() else { return Ok(None) };
        let line = String::from_utf8(line).map_err(|_| broken("a leaf is not text"))?;
        Ok(Some(orderlog::receipt(&line, index, &proof, &self.checkpoint(shared))))
    }

    /// The bytes of a tile that the committed tree has.
    pub async fn tile(&self, shared: &Shared, offer: Uuid, tile: Tile) -> Result<Option<Vec<u8>>, DbError> {
        if !tile.within(self.frontier.size) {
            return Ok(None);
        }
        let width = u64::from(tile.width);
        match tile.kind {
            TileKind::Entries => {
                let mut bundle = Vec::new();
                for leaf in leaves(&shared.db, offer, self.log_no, tile.first(), width).await? {
                    tiles::push_entry(&mut bundle, &leaf).map_err(|error| broken(&error.to_string()))?;
                }
                Ok(Some(bundle))
            }
            TileKind::Hashes(level) => {
                let hashes = row_of_hashes(&shared.db, offer, self.log_no, level, tile.first(), width).await?;
                Ok(Some(hashes.concat()))
            }
        }
    }
}

/// `count` leaves from `first` on.
pub(super) async fn leaves(db: &Db, offer: Uuid, log_no: u32, first: u64, count: u64) -> Result<Vec<Vec<u8>>, DbError> {
    let sql = "SELECT first_index, leaves FROM log_batch
               WHERE offer_id = $1 AND log_no = $2 AND first_index < $4 AND first_index >= (
                   SELECT max(first_index) FROM log_batch WHERE offer_id = $1 AND log_no = $2 AND first_index <= $3)
               ORDER BY first_index";
    let end = first + count;
    let rows = db.all::<(i64, Vec<u8>)>(sql, args![offer, i64::from(log_no), as_i64(first), as_i64(end)]).await?;
    let mut found = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
    for (start, bundle) in rows {
        for (index, entry) in (start.unsigned_abs()..).zip(tiles::entries(&bundle)) {
            if (first..end).contains(&index) {
                found.push(entry.map_err(|error| broken(&error.to_string()))?.to_vec());
            }
        }
    }
    Ok(found)
}

/// `count` hashes of a tile level: of leaves at level 0, of stored tile roots above.
async fn row_of_hashes(
    db: &Db,
    offer: Uuid,
    log_no: u32,
    level: u8,
    first: u64,
    count: u64,
) -> Result<Vec<Hash>, DbError> {
    let hashes: Vec<Hash> = if level == 0 {
        leaves(db, offer, log_no, first, count).await?.iter().map(|leaf| leaf_hash(leaf)).collect()
    } else {
        let sql = "SELECT hash FROM log_node WHERE offer_id = $1 AND log_no = $2 AND level = $3 AND n >= $4 AND n < $5 ORDER BY n";
        let range = args![offer, i64::from(log_no), i64::from(level), as_i64(first), as_i64(first + count)];
        let rows = db.all::<(Vec<u8>,)>(sql, range).await?;
        rows.into_iter()
            .map(|(hash,)| hash.try_into().map_err(|_| broken("a node has 32 bytes")))
            .collect::<Result<_, _>>()?
    };
    if hashes.len() as u64 == count { Ok(hashes) } else { Err(broken("a tile is not whole")) }
}

/// The tile rows that some nodes fold from.
struct Known(HashMap<(u8, u64), Vec<Hash>>);

impl Known {
    fn node(&self, node: Node) -> Result<Hash, DbError> {
        let (level, first, count) = node.in_tiles();
        let row = self.0.get(&(level, first / TILE_WIDTH)).ok_or_else(|| broken("a tile was not read"))?;
        let start = usize::try_from(first % TILE_WIDTH).unwrap_or(0);
        let end = start + usize::try_from(count).unwrap_or(0);
        let hashes = row.get(start..end).ok_or_else(|| broken("a tile is not whole"))?;
        // Invariant: `count` is a power of two, so this is the root of a complete subtree.
        let mut hashes = hashes.to_vec();
        while hashes.len() > 1 {
            hashes = hashes.as_chunks::<2>().0.iter().map(|[left, right]| orderlog::node_hash(left, right)).collect();
        }
        hashes.pop().ok_or_else(|| broken("a node of nothing"))
    }
}

/// Reads the tiles that these nodes of a tree of `size` leaves lie in, each once.
async fn prefetch(
    shared: &Shared,
    offer: Uuid,
    log_no: u32,
    size: u64,
    nodes: impl Iterator<Item = Node>,
) -> Result<Known, DbError> {
    let mut known = HashMap::new();
    for node in nodes {
        let (level, first, _) = node.in_tiles();
        let n = first / TILE_WIDTH;
        if known.contains_key(&(level, n)) {
            continue;
        }
        let whole = size >> (8 * u32::from(level));
        let width = (whole - n * TILE_WIDTH).min(TILE_WIDTH);
        let cached = shared.tiles.get(&(offer, log_no, level, n));
        let row = match cached {
            Some(row) => row.as_ref().clone(),
            None => row_of_hashes(&shared.db, offer, log_no, level, n * TILE_WIDTH, width).await?,
        };
        if width == TILE_WIDTH {
            shared.tiles.insert((offer, log_no, level, n), row.clone().into());
        }
        known.insert((level, n), row);
    }
    Ok(Known(known))
}
