//! The public order log of an offer, format 1: its leaves, rules, Merkle tree, signed checkpoints,
//! tiles and receipts, and the checker that recomputes a whole sale from them.
//!
//! Everything here is pure: no I/O, no clock, no randomness. The formats follow RFC 6962 §2.1
//! (hashing), RFC 8785 (canonical JSON) and the C2SP specifications signed-note, tlog-checkpoint,
//! tlog-tiles and tlog-proof (<https://c2sp.org>), so that strangers' tools read the log.
//!
//! The checker ([`check`]) knows the published rules only. It never shares code with whoever decides
//! the sale: that is what makes its verdict worth something.

pub mod check;
mod error;
mod leaf;
mod merkle;
mod note;
mod person;
mod proof;
mod receipt;
mod rules;
pub mod tiles;
mod want;

pub use error::FormatError;
pub use leaf::{Event, LEAF_BYTES_MAX, Leaf, Outcome, ReturnReason};
pub use merkle::{Append, Appended, Frontier, Hash, leaf_hash, node_hash};
pub use note::{Checkpoint, LogKey, VerifierKey, open_checkpoint, origin, read_checkpoint, sign_checkpoint};
pub use person::{People, Person, PersonKey};
pub use proof::{
    Node, consistency, consistency_steps, fold, frontier_nodes, inclusion, inclusion_steps, verify_consistency,
    verify_inclusion,
};
pub use receipt::{Receipt, receipt};
pub use rules::{ConfirmMode, Eligibility, Policy, PoolRule, ReturnTo, Rules, Verified, WantError, WantRule};
pub use want::{PoolCode, WANT_POOLS_MAX, Want};
