//! C2SP tlog-tiles: paths of tiles and entry bundles, and the bundles' bytes.

use crate::error::{FormatError, decimal};
use std::fmt;
use std::str::FromStr;

#[cfg(test)]
mod tests;

/// Hashes of a full tile, entries of a full bundle.
pub const TILE_WIDTH: u64 = 256;
const LEVEL_MAX: u64 = 63;

/// What a tile holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TileKind {
    /// Hashes of this tile level: 0 are leaf hashes, above are roots of full tiles below.
    Hashes(u8),
    /// The leaves themselves, an entry bundle.
    Entries,
}

/// A tile's place: `tile/<L>/<N>[.p/<W>]` or `tile/entries/<N>[.p/<W>]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tile {
    pub kind: TileKind,
    /// The tile's number within its level.
    pub n: u64,
    /// 1 to 256; below 256 the tile is a partial one.
    pub width: u16,
}

impl Tile {
    /// The number of the first hash or entry in it, within its level.
    pub fn first(&self) -> u64 {
        self.n * TILE_WIDTH
    }

    /// The same tile, full.
    pub fn full(self) -> Tile {
        Tile { width: TILE_WIDTH as u16, ..self }
    }

    /// Whether a tree of `size` leaves has this tile, or has grown past this partial one.
    pub fn within(&self, size: u64) -> bool {
        let end = self.n.checked_mul(TILE_WIDTH).and_then(|first| first.checked_add(self.width.into()));
        end.is_some_and(|end| end <= nodes_of(self.kind, size))
    }

    /// The tiles of one kind that a tree of `size` leaves has: full ones, then at most one partial.
    pub fn all(kind: TileKind, size: u64) -> impl Iterator<Item = Tile> {
        let nodes = nodes_of(kind, size);
        let tile = move |n: u64| Tile { kind, n, width: (nodes - n * TILE_WIDTH).min(TILE_WIDTH) as u16 };
        (0..nodes.div_ceil(TILE_WIDTH)).map(tile)
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Hashes(level) => write!(f, "tile/{level}/")?,
            TileKind::Entries => f.write_str("tile/entries/")?,
        }
        // Groups of three digits, all but the last marked by an x.
        let mut unit = 1000_u64.pow(self.n.checked_ilog(1000).unwrap_or(0));
        while unit > 1 {
            write!(f, "x{:03}/", self.n / unit % 1000)?;
            unit /= 1000;
        }
        write!(f, "{:03}", self.n % 1000)?;
        if u64::from(self.width) < TILE_WIDTH {
            write!(f, ".p/{}", self.width)?;
        }
        Ok(())
    }
}

impl FromStr for Tile {
    type Err = FormatError;

    /// Accepts the one spelling of a path, from `tile/` on.
    fn from_str(path: &str) -> Result<Self, FormatError> {
        let read = || {
            let (kind, place) = path.strip_prefix("tile/")?.split_once('/')?;
            let kind = match kind {
                "entries" => TileKind::Entries,
                level => TileKind::Hashes(decimal(level).filter(|level| *level <= LEVEL_MAX)? as u8),
            };
            let (place, width) = match place.split_once(".p/") {
                Some((place, width)) => (place, decimal(width).filter(|w| (1..TILE_WIDTH).contains(w))?),
                None => (place, TILE_WIDTH),
            };
            let mut n = 0_u64;
            for group in place.split('/') {
                let digits = group.strip_prefix('x').unwrap_or(group);
                let value: u64 = digits.parse().ok()?;
                n = n.checked_mul(1000)?.checked_add(value)?;
            }
            let tile = Tile { kind, n, width: width as u16 };
            (tile.to_string() == path).then_some(tile)
        };
        read().ok_or_else(|| FormatError::new("tile", format!("{path:?} is no tile's path")))
    }
}

/// Appends an entry to a bundle: big-endian u16 length, then the bytes. Entries over 65,535 bytes
/// are refused; a leaf has at most 512.
pub fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), FormatError> {
    let len = u16::try_from(entry.len()).map_err(|_| FormatError::new("entry", "too long"))?;
    bundle.extend_from_slice(&len.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

/// The entries of a bundle, in order; an error ends them.
pub fn entries(mut bundle: &[u8]) -> impl Iterator<Item = Result<&[u8], FormatError>> {
    std::iter::from_fn(move || {
        if bundle.is_empty() {
            return None;
        }
        let split = bundle
            .split_first_chunk::<2>()
            .and_then(|(len, rest)| rest.split_at_checked(u16::from_be_bytes(*len).into()));
        let Some((entry, rest)) = split else {
            bundle = &[];
            return Some(Err(FormatError::new("entry bundle", "ends within an entry")));
        };
        bundle = rest;
        Some(Ok(entry))
    })
}

/// How many hashes or entries of a kind a tree of `size` leaves has.
fn nodes_of(kind: TileKind, size: u64) -> u64 {
    match kind {
        TileKind::Hashes(level) => size.checked_shr(8 * u32::from(level)).unwrap_or(0),
        TileKind::Entries => size,
    }
}
