//! A whole log, read from where it is served or saved: signature, tree, tiles, sale and receipts.

use super::{Checker, Findings, LogReport, ReceiptReport, Report, ViolationKind as Kind};
use crate::leaf::{Event, Leaf};
use crate::merkle::{Append, Appended, Frontier, Hash, leaf_hash};
use crate::note::{Checkpoint, VerifierKey, open_checkpoint, origin, read_checkpoint};
use crate::proof::{self, Node};
use crate::receipt::Receipt;
use crate::tiles::{self, Tile, TileKind};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const FULL_TILE_BYTES: usize = 32 * tiles::TILE_WIDTH as usize;

/// Where a log is read from, by the paths of the published prefix: `checkpoint`, `keys`,
/// `tile/entries/000`, `rules/<sha>`, `logs/1/checkpoint`, …
pub trait Source {
    /// The bytes at a path, `None` where there are none; the error says why it could not be read.
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, String>;
}

impl<F: Fn(&str) -> Result<Option<Vec<u8>>, String>> Source for F {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, String> {
        self(path)
    }
}

/// What two receipts say about each other when only they are at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Comparison {
    /// Same log, same size, same root.
    Same,
    /// Same log and size, but two roots: a split view, proven by these two receipts.
    SplitView,
    /// Different logs or sizes: only the log itself can tell.
    CannotTell,
}

/// Compares two receipts without the log. Says nothing about their signatures: see
/// [`Receipt::verify`].
pub fn compare(a: &Receipt, b: &Receipt) -> Result<Comparison, crate::FormatError> {
    let (a, b) = (read_checkpoint(&a.checkpoint)?, read_checkpoint(&b.checkpoint)?);
    Ok(if a == b {
        Comparison::Same
    } else if (&a.origin, a.size) == (&b.origin, b.size) {
        Comparison::SplitView
    } else {
        Comparison::CannotTell
    })
}

/// Verifies everything the source serves about one offer, and receipts (their texts) against it.
///
/// The keys are the source's own: who got a key elsewhere compares it with [`Report::logs`]' names.
pub fn verify(source: &impl Source, receipts: &[String]) -> Report {
    let mut verifier = Verifier { source, findings: Findings::default(), checker: Checker::new(), logs: Vec::new() };
    verifier.read_logs();
    verifier.check_sale();
    let receipts = verifier.check_receipts(receipts);
    verifier.report(receipts)
}

struct Verifier<'a, S> {
    source: &'a S,
    findings: Findings,
    checker: Checker,
    /// Oldest first, as far as they could be read.
    logs: Vec<Log>,
}

/// One log, read and hashed.
struct Log {
    log_no: u32,
    prefix: String,
    key: VerifierKey,
    checkpoint: Checkpoint,
    tree: Appended,
    bundles: Vec<Vec<u8>>,
}

/// Why a log could not be read to its end.
type Found = (Kind, String);

impl Log {
    fn leaves(&self) -> impl Iterator<Item = &[u8]> {
        self.bundles.iter().flat_map(|bundle| tiles::entries(bundle).filter_map(Result::ok))
    }

    fn leaf(&self, index: u64) -> Option<&[u8]> {
        let bundle = self.bundles.get(usize::try_from(index / tiles::TILE_WIDTH).ok()?)?;
        let at = usize::try_from(index % tiles::TILE_WIDTH).ok()?;
        tiles::entries(bundle).nth(at)?.ok()
    }

    /// The log this one says it follows.
    fn continues(&self) -> Option<(String, u64, Hash)> {
        match Leaf::parse(self.leaf(1)?).ok()?.event {
            Event::Continues { origin, size, root } => Some((origin, size, root)),
            _ => None,
        }
    }

    fn node(&self, node: Node) -> Result<Hash, ()> {
        self.tree.node(node).ok_or(())
    }

    fn root_at(&self, size: u64) -> Option<Hash> {
        let nodes: Result<Vec<_>, ()> = proof::frontier_nodes(size).into_iter().map(|node| self.node(node)).collect();
        Some(Frontier { size, nodes: nodes.ok()? }.root())
    }
}

impl<S: Source> Verifier<'_, S> {
    fn read_logs(&mut self) {
        let keys = match self.fetch_text("keys") {
            Ok(keys) => keys,
            Err((kind, detail)) => return self.findings.add(1, None, kind, detail),
        };
        // The newest log comes first there; numbers count from the oldest.
        let newest = keys.lines().count() as u32;
        if newest == 0 {
            self.findings.add(1, None, Kind::Missing, "keys: there is none");
        }
        let base = keys.lines().last().and_then(|oldest| oldest.split('+').next());
        let base = base.unwrap_or_default();
        for (log_no, key) in (1..=newest).zip(keys.lines().rev()) {
            let prefix = if log_no == newest { String::new() } else { format!("logs/{log_no}/") };
            match self.read_log(base, log_no, prefix, key) {
                Ok(log) => self.logs.push(log),
                Err((kind, detail)) => self.findings.add(log_no, None, kind, detail),
            }
        }
    }

    fn read_log(&mut self, base: &str, log_no: u32, prefix: String, key: &str) -> Result<Log, Found> {
        let key = VerifierKey::parse(key).map_err(|error| (Kind::Signature, error.to_string()))?;
        if key.name() != origin(base, log_no) {
            return Err((Kind::Signature, format!("{} is not the name of log {log_no}", key.name())));
        }
        let note = self.fetch_text(&format!("{prefix}checkpoint"))?;
        let checkpoint = open_checkpoint(&note, &key).map_err(|error| (Kind::Signature, error.to_string()))?;
        let mut append = Append::new(Frontier::default());
        let mut bundles = Vec::new();
        for tile in Tile::all(TileKind::Entries, checkpoint.size) {
            let bundle = self.fetch_bundle(&prefix, tile)?;
            for entry in tiles::entries(&bundle) {
                let entry = entry.map_err(|error| (Kind::Malformed, format!("{tile}: {error}")))?;
                append.push(leaf_hash(entry));
            }
            bundles.push(bundle);
        }
        let tree = append.finish();
        if tree.root() != checkpoint.root {
            let detail = format!("{} leaves do not hash to the checkpoint's root", checkpoint.size);
            self.findings.add(log_no, None, Kind::Root, detail);
        }
        let log = Log { log_no, prefix, key, checkpoint, tree, bundles };
        self.check_tiles(&log);
        Ok(log)
    }

    /// A bundle cut to the tile's width: a partial one may be gone once the full one is there.
    fn fetch_bundle(&self, prefix: &str, tile: Tile) -> Result<Vec<u8>, Found> {
        let mut bundle = self.fetch_tile(prefix, tile)?;
        let entries = tiles::entries(&bundle).map_while(Result::ok);
        let lengths: Vec<_> = entries.take(tile.width.into()).map(|entry| 2 + entry.len()).collect();
        if lengths.len() < tile.width.into() {
            return Err((Kind::Missing, format!("{tile}: only {} entries", lengths.len())));
        }
        bundle.truncate(lengths.iter().sum());
        Ok(bundle)
    }

    fn fetch_tile(&self, prefix: &str, tile: Tile) -> Result<Vec<u8>, Found> {
        let fetched = self.fetch(&format!("{prefix}{tile}"));
        if fetched.is_err() && tile != tile.full() {
            let full = self.fetch(&format!("{prefix}{}", tile.full()));
            return full.or(fetched);
        }
        fetched
    }

    /// The hash tiles that are served must be those the leaves give.
    fn check_tiles(&mut self, log: &Log) {
        for level in 0..=u8::MAX / 8 {
            for tile in Tile::all(TileKind::Hashes(level), log.checkpoint.size) {
                let nodes = (tile.first()..).take(tile.width.into()).map(|index| Node { level: level * 8, index });
                let hashes: Vec<u8> = nodes.filter_map(|node| log.tree.node(node)).flatten().collect();
                let fits = |served: &[u8]| {
                    served.starts_with(&hashes) && [hashes.len(), FULL_TILE_BYTES].contains(&served.len())
                };
                match self.fetch_tile(&log.prefix, tile) {
                    Ok(served) if fits(&served) => {}
                    Ok(_) => {
                        self.findings.add(log.log_no, None, Kind::Tile, format!("{tile}: not what the leaves give"))
                    }
                    Err((kind, detail)) => self.findings.add(log.log_no, None, kind, detail),
                }
            }
        }
    }

    /// Replays the logs one after the other. Where a log goes on from an earlier point of the one
    /// before, that one's end is judged too, on the side.
    fn check_sale(&mut self) {
        let logs = std::mem::take(&mut self.logs);
        for (at, log) in logs.iter().enumerate() {
            let next = logs.get(at + 1).and_then(Log::continues);
            let kept = match &next {
                Some((_, size, _)) => (*size).min(log.checkpoint.size),
                None => log.checkpoint.size,
            };
            let mut end: Option<Checker> = None;
            for (index, leaf) in (0..).zip(log.leaves()) {
                if index == kept {
                    end = Some(self.checker.clone());
                }
                let checker = end.as_mut().unwrap_or(&mut self.checker);
                read_rules(self.source, &log.prefix, checker, leaf);
                checker.push_bytes(leaf);
            }
            if let Some(mut end) = end {
                end.finish();
                // Both start from the findings of what was kept.
                let kept = std::mem::take(&mut self.checker.findings);
                self.findings.merge(end.findings.since(&kept));
                self.checker.findings = kept;
            }
            if at + 1 < logs.len()
                && let Some(root) = log.root_at(kept)
            {
                self.checker.next_log(log.key.name().to_owned(), kept, root);
            }
        }
        self.checker.finish();
        self.findings.merge(std::mem::take(&mut self.checker.findings));
        self.check_offer(&logs);
        self.logs = logs;
    }

    /// The origin names the offer the rules are of.
    fn check_offer(&mut self, logs: &[Log]) {
        let (Some(log), Some(rules)) = (logs.first(), self.checker.rules()) else {
            return;
        };
        let name = format!("/offers/{}", rules.offer.hyphenated());
        if log.log_no == 1 && !log.key.name().ends_with(&name) {
            let detail = format!("{} is not the log of offer {}", log.key.name(), rules.offer);
            self.findings.add(1, None, Kind::Rules, detail);
        }
    }

    fn check_receipts(&mut self, texts: &[String]) -> Vec<ReceiptReport> {
        let mut held = Vec::new();
        for (number, text) in (1..).zip(texts) {
            match self.check_receipt(text) {
                Ok(receipt) => held.push(receipt),
                Err((kind, detail)) => {
                    let newest = self.logs.last().map_or(1, |log| log.log_no);
                    self.findings.add(newest, None, kind, format!("receipt {number}: {detail}"));
                }
            }
        }
        held
    }

    fn check_receipt(&self, text: &str) -> Result<ReceiptReport, Found> {
        let wrong = |detail: String| (Kind::Receipt, detail);
        let receipt = Receipt::parse(text).map_err(|error| wrong(error.to_string()))?;
        let name = receipt.origin().map_err(|error| wrong(error.to_string()))?;
        let log = self.logs.iter().find(|log| log.key.name() == name);
        let log = log.ok_or_else(|| wrong(format!("it is of {name}, not of this offer")))?;
        let Checkpoint { size, root, .. } = receipt.verify(&log.key).map_err(|error| wrong(error.to_string()))?;
        let newest = &log.checkpoint;
        if size > newest.size {
            let detail = format!("it shows {size} leaves, the log has {}", newest.size);
            return Err((Kind::SplitView, detail));
        }
        let consistency = proof::consistency(size, newest.size, |node| log.node(node)).unwrap_or_default();
        if !proof::verify_consistency(size, newest.size, &root, &newest.root, &consistency) {
            let detail = format!("its tree of {size} leaves is not the beginning of this log");
            return Err((Kind::SplitView, detail));
        }
        let leaf = receipt.leaf.to_string();
        if log.leaf(receipt.index) != Some(leaf.as_bytes()) {
            return Err(wrong(format!("the log has another leaf {}", receipt.index)));
        }
        Ok(ReceiptReport { index: receipt.index, leaf, size })
    }

    fn report(self, receipts: Vec<ReceiptReport>) -> Report {
        let log = |log: &Log| LogReport {
            log_no: log.log_no,
            origin: log.checkpoint.origin.clone(),
            size: log.checkpoint.size,
            root: STANDARD.encode(log.checkpoint.root),
        };
        Report {
            verified: self.findings.total == 0,
            offer: self.checker.rules().map(|rules| rules.offer),
            logs: self.logs.iter().map(log).collect(),
            claims: self.checker.claims(),
            counts: self.checker.counts().clone(),
            open: self.checker.open(),
            pools: self.checker.pools(),
            receipts,
            violations_total: self.findings.total,
            violations: self.findings.shown,
        }
    }

    fn fetch(&self, path: &str) -> Result<Vec<u8>, Found> {
        match self.source.read(path) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err((Kind::Missing, format!("{path}: not there"))),
            Err(why) => Err((Kind::Missing, format!("{path}: {why}"))),
        }
    }

    fn fetch_text(&self, path: &str) -> Result<String, Found> {
        let bytes = self.fetch(path)?;
        String::from_utf8(bytes).map_err(|_| (Kind::Malformed, format!("{path}: not text")))
    }
}

/// Gives the checker the rules a leaf names. Rules that cannot be had are the checker's to report.
fn read_rules(source: &impl Source, prefix: &str, checker: &mut Checker, leaf: &[u8]) {
    if let Ok(Leaf { event: Event::Rules { sha }, .. }) = Leaf::parse(leaf)
        && !checker.knows_rules(&sha)
        && let Ok(Some(bytes)) = source.read(&format!("{prefix}rules/{}", hex::encode(sha)))
    {
        // Bytes of another hash become known by that hash and help nobody.
        let _ = checker.add_rules(&bytes);
    }
}
