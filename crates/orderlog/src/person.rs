//! The pseudonym of a person within one offer.

use crate::error::{FormatError, lower_hex};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// Who claims, without saying who: the same within an offer, unlinkable between two offers.
/// The text is 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Person(pub [u8; 16]);

/// What lets its owner show that a pseudonym is theirs; shown to nobody else.
pub type PersonKey = [u8; 32];

/// Derives the pseudonyms of one offer's people: what is the same for all of them is hashed once.
#[derive(Clone)]
pub struct People {
    mac: Hmac<Sha256>,
    digest: Sha256,
}

impl People {
    /// See [`Person::derive`].
    pub fn new(person_secret: &[u8], base: &str) -> People {
        let mut mac = match Hmac::<Sha256>::new_from_slice(person_secret) {
            Ok(mac) => mac,
            Err(_) => unreachable!("HMAC takes keys of any length"),
        };
        mac.update(base.as_bytes());
        mac.update(b"\n");
        People { mac, digest: digest_of(base) }
    }

    pub fn derive(&self, user_id: Uuid) -> (Person, PersonKey) {
        let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
        let id = &*user_id.hyphenated().encode_lower(&mut id);
        let key = self.mac.clone().chain_update(id.as_bytes()).finalize().into_bytes().into();
        (Person::finish(self.digest.clone(), id, &key), key)
    }
}

fn digest_of(base: &str) -> Sha256 {
    Sha256::new().chain_update(b"madang-person-1\n").chain_update(base.as_bytes()).chain_update(b"\n")
}

impl Person {
    /// The pseudonym and its key, from the yard's person secret, the offer's base name
    /// (`<yard>/offers/<offer id>`) and the user.
    pub fn derive(person_secret: &[u8], base: &str, user_id: Uuid) -> (Person, PersonKey) {
        People::new(person_secret, base).derive(user_id)
    }

    /// The pseudonym that belongs to this key: how its owner proves which one is theirs.
    pub fn from_key(key: &PersonKey, base: &str, user_id: Uuid) -> Person {
        let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
        Person::finish(digest_of(base), user_id.hyphenated().encode_lower(&mut id), key)
    }

    /// `digest` has taken in the offer.
    fn finish(digest: Sha256, user_id: &str, key: &PersonKey) -> Person {
        let digest = digest.chain_update(user_id.as_bytes()).chain_update(b"\n").chain_update(key).finalize();
        let mut person = [0; 16];
        person.copy_from_slice(&digest[..16]);
        Person(person)
    }

    pub(crate) fn hex(&self) -> [u8; 32] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        text
    }
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.hex()).unwrap_or_default())
    }
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Person {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        lower_hex(text)
            .map(Person)
            .ok_or_else(|| FormatError::new("person", format!("{text:?} is not 32 lower-case hex digits")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: Uuid = Uuid::from_u128(0x0190_ABCD_0000_7000_8000_0000_0000_0002);

    /// Computed by Python's `hmac` and `hashlib` from the words of the format's text.
    #[test]
    fn derived_as_the_format_says() {
        let (person, key) = Person::derive(b"secret", "yard.example/offers/x", USER);
        assert_eq!(hex::encode(key), "5fa856ba16f63a8eb9e4d324f933411732f376a1d6f53236b42a9b7bac19b414");
        assert_eq!(person.to_string(), "e43292cb8d3835b4dffaf97885228727");
        assert_eq!(Person::from_key(&key, "yard.example/offers/x", USER), person);
    }

    #[test]
    fn unlinkable_between_offers_and_yards() {
        let (person, _) = Person::derive(b"secret", "yard.example/offers/x", USER);
        assert_ne!(Person::derive(b"secret", "yard.example/offers/y", USER).0, person);
        assert_ne!(Person::derive(b"other", "yard.example/offers/x", USER).0, person);
        assert_ne!(Person::derive(b"secret", "yard.example/offers/x", Uuid::nil()).0, person);
    }

    #[test]
    fn read_in_one_spelling() {
        let text = "0123456789abcdef0123456789abcdef";
        assert_eq!(text.parse::<Person>().map(|person| person.to_string()).as_deref(), Ok(text));
        for wrong in ["", "0123", &text.to_uppercase(), &format!("{text}00"), "0123456789abcdef0123456789abcdeg"] {
            assert!(wrong.parse::<Person>().is_err(), "{wrong}");
        }
    }
}
