//! Receipts: C2SP tlog-proof@v1 with the leaf itself as its `extra`.

use crate::error::{FormatError, decimal};
use crate::leaf::Leaf;
use crate::merkle::{Hash, leaf_hash};
use crate::note::{Checkpoint, VerifierKey, open_checkpoint, read_checkpoint};
use crate::proof::verify_inclusion;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write;

#[cfg(test)]
mod tests;

const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// A path in a tree of 2^64 leaves.
const PROOF_HASHES_MAX: usize = 64;

/// The text of a receipt: `proof` shows the leaf at `index` in the tree the signed checkpoint names.
pub fn receipt(leaf_line: &str, index: u64, proof: &[Hash], checkpoint: &str) -> String {
    let base64_len = |len: usize| len.div_ceil(3) * 4 + 1;
    let len = HEADER.len() + 40 + base64_len(leaf_line.len()) + proof.len() * base64_len(32) + checkpoint.len();
    let mut text = String::with_capacity(len);
    text.push_str(HEADER);
    text.push_str("\nextra ");
    STANDARD.encode_string(leaf_line, &mut text);
    // Writing to a string cannot fail.
    let _ = write!(text, "\nindex {index}\n");
    for hash in proof {
        STANDARD.encode_string(hash, &mut text);
        text.push('\n');
    }
    text.push('\n');
    text.push_str(checkpoint);
    text
}

/// A receipt as it was read; nothing about it is believed before [`Receipt::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    pub leaf: Leaf,
    pub index: u64,
    pub proof: Vec<Hash>,
    /// The signed note.
    pub checkpoint: String,
}

impl Receipt {
    /// Reads a receipt's text. Its leaf must say the index the receipt says.
    pub fn parse(text: &str) -> Result<Receipt, FormatError> {
        let (head, checkpoint) = text.split_once("\n\n").ok_or_else(|| wrong("without a checkpoint"))?;
        let mut lines = head.split('\n');
        if lines.next() != Some(HEADER) {
            return Err(wrong("not a tlog-proof@v1"));
        }
        let extra = lines.next().and_then(|line| line.strip_prefix("extra "));
        let leaf = extra.and_then(|leaf| STANDARD.decode(leaf).ok());
        let leaf = Leaf::parse(&leaf.ok_or_else(|| wrong("without its leaf"))?)?;
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(decimal);
        let index = index.ok_or_else(|| wrong("without an index"))?;
        let hash = |line: &str| STANDARD.decode(line).ok()?.try_into().ok();
        let proof: Option<Vec<Hash>> = lines.map(hash).collect();
        let proof = proof.filter(|proof| proof.len() <= PROOF_HASHES_MAX);
        let proof = proof.ok_or_else(|| wrong("a line of its proof is no hash"))?;
        if leaf.index != index {
            return Err(wrong("its leaf is of another index"));
        }
        Ok(Receipt { leaf, index, proof, checkpoint: checkpoint.to_owned() })
    }

    /// The name of the log that the checkpoint claims to be of, unverified.
    pub fn origin(&self) -> Result<String, FormatError> {
        Ok(read_checkpoint(&self.checkpoint)?.origin)
    }

    /// Whether the key signed the checkpoint and the proof shows the leaf in its tree.
    pub fn verify(&self, key: &VerifierKey) -> Result<Checkpoint, FormatError> {
        let checkpoint = open_checkpoint(&self.checkpoint, key)?;
        let Checkpoint { size, root, .. } = &checkpoint;
        let leaf = leaf_hash(self.leaf.to_string().as_bytes());
        if verify_inclusion(&leaf, self.index, *size, &self.proof, root) {
            Ok(checkpoint)
        } else {
            Err(wrong("its proof does not lead to the checkpoint's root"))
        }
    }
}

fn wrong(why: &str) -> FormatError {
    FormatError::new("receipt", why)
}
