//! Who was refused what: a fold of the log, kept in memory by every process that decides.

use hashbrown::{HashMap, HashTable};
use orderlog::{Event, Leaf, Outcome, Person, Want};

use crate::batch::Refused;

#[cfg(test)]
mod tests;

/// The refusals of one log up to [`Refusals::size`] leaves, some 48 bytes each.
#[derive(Clone, Default, Debug)]
pub struct Refusals {
    size: u64,
    entries: Vec<Entry>,
    /// Places in `entries`, by the hash of person and want.
    places: HashTable<u32>,
    wants: HashMap<Want, u32>,
    /// The same by the text in the log, so that a want is parsed once and not once per refusal.
    texts: HashMap<Box<[u8]>, u32>,
}

#[derive(Clone, Debug)]
struct Entry {
    person: Person,
    want: u32,
    seq: u64,
    index: u64,
}

/// Why leaves could not be folded.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FoldError {
    #[error("the fold ends at leaf {size}, the next given is {index}")]
    Gap { size: u64, index: u64 },
    #[error("leaf {index} is malformed")]
    Malformed { index: u64 },
    #[error("more refusals than can be kept in memory")]
    Full,
}

impl Refusals {
    pub fn new() -> Self {
        Self::default()
    }

    /// How many leaves of the log are folded: it is complete up to this size.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How many refusals are known.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Folds the next leaf; one folded before is passed over.
    pub fn apply(&mut self, leaf: &Leaf) -> Result<(), FoldError> {
        if !self.is_next(leaf.index)? {
            return Ok(());
        }
        if let Event::Claim { seq, person, want, outcome: Outcome::Refused, .. } = &leaf.event {
            let want = self.intern(want)?;
            self.insert(Entry { person: *person, want, seq: *seq, index: leaf.index })?;
        }
        self.size += 1;
        Ok(())
    }

    /// Folds the leaves of a tlog-tiles entry bundle (big-endian u16 length and leaf, repeated), the first of which
    /// has `first_index`; those folded before are passed over. The leaves before a malformed one stay folded.
    pub fn apply_bundle(&mut self, first_index: u64, mut bundle: &[u8]) -> Result<(), FoldError> {
        let mut index = first_index;
        while !bundle.is_empty() {
            let malformed = FoldError::Malformed { index };
            let (len, rest) = bundle.split_first_chunk::<2>().ok_or(malformed.clone())?;
            let (line, rest) =
                rest.split_at_checked(usize::from(u16::from_be_bytes(*len))).ok_or(malformed.clone())?;
            if self.is_next(index)? {
                if let Some(fields) = line.strip_suffix(b" refused") {
                    let (seq, person, want) = refusal(fields).ok_or(malformed.clone())?;
                    let want = self.intern_text(want).ok_or(malformed)?;
                    self.insert(Entry { person, want, seq, index })?;
                }
                self.size += 1;
            }
            bundle = rest;
            index += 1;
        }
        Ok(())
    }

    fn is_next(&self, index: u64) -> Result<bool, FoldError> {
        if index > self.size {
            return Err(FoldError::Gap { size: self.size, index });
        }
        Ok(index == self.size)
    }

    /// The first number stands, should the log ever hold two.
    fn insert(&mut self, entry: Entry) -> Result<(), FoldError> {
        let Self { entries, places, .. } = self;
        let same = |at: &u32| {
            let known = &entries[*at as usize];
            known.person == entry.person && known.want == entry.want
        };
        let hash = hash(&entry.person, entry.want);
        if places.find(hash, same).is_some() {
            return Ok(());
        }
        let at = u32::try_from(entries.len()).map_err(|_| FoldError::Full)?;
        entries.push(entry);
        places.insert_unique(hash, at, |at| {
            let known = &entries[*at as usize];
            self::hash(&known.person, known.want)
        });
        Ok(())
    }

    fn intern(&mut self, want: &Want) -> Result<u32, FoldError> {
        if let Some(id) = self.wants.get(want) {
            return Ok(*id);
        }
        let id = u32::try_from(self.wants.len()).map_err(|_| FoldError::Full)?;
        self.wants.insert(want.clone(), id);
        self.texts.insert(want.to_string().into_bytes().into(), id);
        Ok(id)
    }

    fn intern_text(&mut self, text: &[u8]) -> Option<u32> {
        if let Some(id) = self.texts.get(text) {
            return Some(*id);
        }
        let want = std::str::from_utf8(text).ok()?.parse().ok()?;
        self.intern(&want).ok()
    }
}

impl Refused for Refusals {
    fn get(&self, person: &Person, want: &Want) -> Option<(u64, u64)> {
        let want = *self.wants.get(want)?;
        let at = self.places.find(hash(person, want), |at| {
            let known = &self.entries[*at as usize];
            known.person == *person && known.want == want
        })?;
        let entry = &self.entries[*at as usize];
        Some((entry.seq, entry.index))
    }
}

/// Why no hasher: a person is a piece of a SHA-256 sum nobody can choose, and spread evenly.
fn hash(person: &Person, want: u32) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = person.0;
    u64::from_le_bytes([a, b, c, d, e, f, g, h]) ^ u64::from(want).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// `(seq, person, want)` of `1 <index> <decided_ms> claim <seq> <person> <received_ms> <want>`.
fn refusal(fields: &[u8]) -> Option<(u64, Person, &[u8])> {
    let mut fields = fields.split(|byte| *byte == b' ').skip(3);
    if fields.next()? != b"claim" {
        return None;
    }
    let seq = decimal(fields.next()?)?;
    let person = person(fields.next()?)?;
    let want = fields.nth(1)?;
    fields.next().is_none().then_some((seq, person, want))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

fn person(hex: &[u8]) -> Option<Person> {
    let mut person = [0; 16];
    if hex.len() != 2 * person.len() {
        return None;
    }
    for (byte, pair) in person.iter_mut().zip(hex.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(Person(person))
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}
