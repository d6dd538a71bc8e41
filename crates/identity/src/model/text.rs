//! The texts people give us: each type states its rule once, for the check and for the OpenAPI document.
//!
//! Every text is composed (Unicode NFC) as it comes in, so that what looks the same is the same.

use garde::Validate;
use serde::{Deserialize, Deserializer};
use unicode_normalization::UnicodeNormalization;
use utoipa::ToSchema;

/// Composes a text (NFC).
pub fn compose(text: &str) -> String {
    text.nfc().collect()
}

macro_rules! texts {
    ($($name:ident),+ $(,)?) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(|text| Self(compose(&text)))
            }
        }

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> String {
                text.0
            }
        }
    )+};
}
texts!(Username, PersonName, Nickname, Email, Phone, BirthDate, NewPassword, CompanyName, Description, Reason);

/// What an account is called by; never changes.
#[derive(Debug, Validate, ToSchema)]
#[garde(transparent)]
#[schema(value_type = String, pattern = "^[a-z0-9]{4,20}$", example = "haneul01")]
pub struct Username(#[garde(custom(username))] String);

impl Username {
    /// Could this text be a username?
    pub fn is_valid(text: &str) -> bool {
        username(text, &()).is_ok()
    }
}

/// A person's real name.
#[derive(Debug, Validate, ToSchema)]
#[garde(transparent)]
#[schema(value_type = String, min_length = 1, max_length = 40, pattern = r"^\S(.*\S)?$", example = "김하늘")]
pub struct PersonName(#[garde(length(chars, min = 1, max = 40), custom(one_line))] String);

/// What others see of a person; unique without regard to case.
#[derive(Debug, Validate, ToSchema)]
#[garde(transparent)]
#[schema(value_type = String, min_length = 2, max_length = 20, pattern = r"^\S(.*\S)?$", example = "하늘달리기")]
pub struct Nickname(#[garde(custom(nickname))] String);

impl Nickname {
    /// Could this text be a nickname?
    pub fn is_valid(text: &str) -> bool {
        nickname(text, &()).is_ok()
    }
}

/// An e-mail address as HTML's `<input type=email>` takes it, with a dot in its domain.
///
/// Source: <https://html.spec.whatwg.org/multipage/input.html#valid-e-mail-address>
#[derive(Debug, Validate, ToSchema)]
#[garde(transparent)]
#[schema(
    value_type = String,
    max_length = 254,
    pattern = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)+$",
    example = "haneul@example.com"
)]
pub struct Email(#[garde(custom(email))] String);

/// A telephone number: 8 to 15 digits with an optional `+`, hyphens between digits.
#[derive(Debug, Validate, ToSchema)]
#[garde(transparent)]
#[schema(value_type = String, pattern = r"^\+?[0-9](-?[0-9]){7,14}$", example = "010-1234-5678")]
pub struct Phone(#[garde(custom(phone))] String);

/// An ISO 8601 calendar date from 1900 on, not in the future.
// The future is refused where the present is known, when the profile is edited.
#[derive(Debug, Validate, ToSchema)]
#[garde(transparent)]
#[schema(value_type = String, format = Date, example = "1990-05-17")]
pub struct BirthDate(#[garde(custom(birth_date))] String);

/// A password to be set.
// Not `Debug`: it must not reach a log.
#[derive(Validate, ToSchema)]
#[garde(transparent)]
#[schema(value_type = String, format = Password, min_length = 8, max_length = 64)]
pub struct NewPassword(#[garde(length(chars, min = 8, max = 64))] String);

/// What an organiser is called.
#[derive(Debug, Validate, ToSchema)]
#[garde(transparent)]
#[schema(value_type = String, min_length = 1, max_length = 80, pattern = r"^\S(.*\S)?$", example = "한강러닝클럽")]
pub struct CompanyName(#[garde(length(chars, min = 1, max = 80), custom(one_line))] String);

/// What an applicant says about himself.
#[derive(Debug, Validate, ToSchema)]
#[garde(transparent)]
#[schema(value_type = String, min_length = 1, max_length = 2000)]
pub struct Description(#[garde(length(chars, min = 1, max = 2000))] String);

/// Why something was decided.
#[derive(Debug, Validate, ToSchema)]
#[garde(transparent)]
#[schema(value_type = String, min_length = 1, max_length = 500)]
pub struct Reason(#[garde(length(chars, min = 1, max = 500))] String);

fn username(text: &str, _: &()) -> garde::Result {
    let plain = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    require(plain && (4..=20).contains(&text.len()), "4 to 20 lower-case letters and digits")
}

fn nickname(text: &str, _: &()) -> garde::Result {
    require((2..=20).contains(&text.chars().count()), "2 to 20 characters")?;
    one_line(text, &())
}

fn one_line(text: &str, _: &()) -> garde::Result {
    let odd_space = |c: char| c.is_whitespace() && c != ' ';
    require(!text.chars().any(|c| c.is_control() || odd_space(c) || is_invisible(c)), "no invisible characters")?;
    require(text.trim() == text, "no space at either end")
}

/// Format characters that would let two different texts look the same. The zero-width joiners are among them.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

fn email(text: &str, _: &()) -> garde::Result {
    let local_ok = |local: &str| {
        (1..=64).contains(&local.len())
            && local.bytes().all(|b| b.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&b))
    };
    let label_ok = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let fits = text.len() <= 254
        && text
            .split_once('@')
            .is_some_and(|(local, domain)| local_ok(local) && domain.contains('.') && domain.split('.').all(label_ok));
    require(fits, "not an e-mail address")
}

fn phone(text: &str, _: &()) -> garde::Result {
    let bare = text.strip_prefix('+').unwrap_or(text);
    let digits = bare.bytes().filter(u8::is_ascii_digit).count();
    let parted = bare.split('-').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    require(parted && (8..=15).contains(&digits), "8 to 15 digits, with an optional + and hyphens between")
}

fn birth_date(text: &str, _: &()) -> garde::Result {
    let date = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    // Why the comparison: the parser also takes "1990-5-7", and a date has one text.
    let exact = date.is_some_and(|date| date.to_string() == text && text.len() == 10 && text >= "1900-01-01");
    require(exact, "a date like 1990-05-17, from 1900 on")
}

fn require(holds: bool, message: &str) -> garde::Result {
    if holds { Ok(()) } else { Err(garde::Error::new(message)) }
}
