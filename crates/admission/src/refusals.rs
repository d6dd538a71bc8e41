//! Who was refused what: a fold of the log, kept in memory by every process that decides.

use hashbrown::{HashMap, HashTable};
use orderlog::{Event, Leaf, Outcome, Person, Want};

use crate::batch::Refused;
use crate::head::Head;

#[cfg(test)]
mod tests;

/// The refusals of one log up to [`Refusals::size`] leaves, some 48 bytes each.
#[derive(Clone, Default, Debug)]
pub struct Refusals {
    size: u64,
    entries: Vec<Entry>,
    /// Places in `entries`, by the hash of the person.
    places: HashTable<u32>,
    wants: HashMap<Want, u32>,
    /// The same by the text in the log, so that a want is parsed once and not once per refusal.
    texts: HashMap<Box<[u8]>, u32>,
}

#[derive(Clone, Debug)]
struct Entry {
    person: Person,
    want: u32,
    /// The person got a place, or a place in the line, after this refusal.
    placed_since: bool,
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

    /// The number of a refusal that may be told again without deciding: `head` is one this process read or committed
    /// at most 250 ms ago, this fold is complete up to it, and by that head the person has nothing, the want is not
    /// free and there is no line. None where the batch must decide.
    pub fn repeat(&self, head: &Head, person: &Person, want: &Want) -> Option<(u64, u64)> {
        let sold_out = !head.rules.waitlist && !head.is_free(want);
        let taking = !head.closed && !head.paused && head.rules.per_person == 1;
        if self.size < head.size || !sold_out || !taking {
            return None;
        }
        let entry = self.find(person, want)?;
        (!entry.placed_since && entry.index < head.size).then_some((entry.seq, entry.index))
    }

    /// Folds the next leaf; one folded before is passed over.
    pub fn apply(&mut self, leaf: &Leaf) -> Result<(), FoldError> {
        if !self.is_next(leaf.index)? {
            return Ok(());
        }
        match &leaf.event {
            Event::Claim { seq, person, want, outcome: Outcome::Refused, .. } => {
                let want = self.intern(want)?;
                self.insert(*person, want, *seq, leaf.index)?;
            }
            Event::Claim { person, .. } => self.place(person),
            _ => {}
        }
        self.size += 1;
        Ok(())
    }

    /// Folds the leaves of a tlog-tiles entry bundle (big-endian u16 length and leaf, repeated), the first of which
    /// has `first_index`; those folded before are passed over. The leaves before a malformed one stay folded.
    pub fn apply_bundle(&mut self, first_index: u64, mut bundle: &[u8]) -> Result<(), FoldError> {
        let mut index = first_index;
        while !bundle.is_empty() {
            let malformed = || FoldError::Malformed { index };
            let (len, rest) = bundle.split_first_chunk::<2>().ok_or_else(malformed)?;
            let len = usize::from(u16::from_be_bytes(*len));
            let (line, rest) = rest.split_at_checked(len).ok_or_else(malformed)?;
            if self.is_next(index)? {
                if let Some(fields) = claim_fields(line) {
                    let (seq, person, want, outcome) = claim(fields).ok_or_else(malformed)?;
                    if outcome == b"refused" {
                        let want = self.intern_text(want).ok_or_else(malformed)?;
                        self.insert(person, want, seq, index)?;
                    } else {
                        self.place(&person);
                    }
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
    fn insert(&mut self, person: Person, want: u32, seq: u64, index: u64) -> Result<(), FoldError> {
        let Self { entries, places, .. } = self;
        let hash = hash(&person);
        let same = |at: &u32| {
            let known = &entries[*at as usize];
            known.person == person && known.want == want
        };
        if places.find(hash, same).is_some() {
            return Ok(());
        }
        let at = u32::try_from(entries.len()).map_err(|_| FoldError::Full)?;
        entries.push(Entry { person, want, placed_since: false, seq, index });
        places.insert_unique(hash, at, |at| self::hash(&entries[*at as usize].person));
        Ok(())
    }

    fn place(&mut self, person: &Person) {
        for at in self.places.iter_hash(hash(person)) {
            let entry = &mut self.entries[*at as usize];
            entry.placed_since |= entry.person == *person;
        }
    }

    fn find(&self, person: &Person, want: &Want) -> Option<&Entry> {
        let want = *self.wants.get(want)?;
        let same = |at: &u32| {
            let known = &self.entries[*at as usize];
            known.person == *person && known.want == want
        };
        self.places.find(hash(person), same).map(|at| &self.entries[*at as usize])
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
        self.find(person, want).map(|entry| (entry.seq, entry.index))
    }
}

/// Why no hasher: a person is a piece of a SHA-256 sum nobody can choose, and spread evenly.
fn hash(person: &Person) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = person.0;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// What follows `1 <index> <decided_ms> claim ` in a claim's line; none for other events.
fn claim_fields(line: &[u8]) -> Option<&[u8]> {
    let mut fields = line.splitn(5, |byte| *byte == b' ').skip(3);
    (fields.next()? == b"claim").then(|| fields.next()).flatten()
}

/// `(seq, person, want, outcome)` of `<seq> <person> <received_ms> <want> <outcome>`.
fn claim(fields: &[u8]) -> Option<(u64, Person, &[u8], &[u8])> {
    let mut fields = fields.split(|byte| *byte == b' ');
    let seq = decimal(fields.next()?)?;
    let person = person(fields.next()?)?;
    let want = fields.nth(1)?;
    let outcome = fields.next()?;
    fields.next().is_none().then_some((seq, person, want, outcome))
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
