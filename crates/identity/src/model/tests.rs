use super::*;
use garde::Validate;
use serde::de::DeserializeOwned;

fn takes<T: DeserializeOwned + Validate<Context = ()>>(text: &str) -> bool {
    serde_json::from_value::<T>(text.into()).is_ok_and(|value| value.validate().is_ok())
}

#[test]
fn usernames_are_short_plain_words() {
    for good in ["abcd", "haneul01", "01234567890123456789"] {
        assert!(takes::<Username>(good), "{good}");
    }
    for bad in ["abc", "Abcd", "ab cd", "하늘달리기", "abcd\n", "a-bcd", "012345678901234567890", ""] {
        assert!(!takes::<Username>(bad), "{bad:?}");
    }
}

#[test]
fn nicknames_cannot_hide_anything() {
    for good in ["하늘", "Run Run", "a.b_c-d", "日本", "🏃🏃"] {
        assert!(takes::<Nickname>(good), "{good}");
    }
    for bad in ["a", " ab", "ab ", "a\u{200b}b", "a\u{202e}b", "ab\u{feff}", "a\tb", "a\nb", "ㅤㅤ", &"가".repeat(21)]
    {
        assert!(!takes::<Nickname>(bad), "{bad:?}");
    }
}

#[test]
fn the_same_nickname_in_other_letters_is_the_same() {
    assert_eq!(fold("Ångström"), fold("A\u{30a}NGSTRO\u{308}M"));
    assert_eq!(fold("한강"), fold("\u{1112}\u{1161}\u{11ab}\u{1100}\u{1161}\u{11bc}"));
    assert_ne!(fold("한강"), fold("한간"));
}

#[test]
fn a_decomposed_text_is_counted_as_it_is_seen() {
    let decomposed = "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1161}\u{11bc}".repeat(10);
    assert!(takes::<Nickname>(&decomposed));
}

#[test]
fn addresses_have_a_local_part_and_a_dotted_domain() {
    for good in ["a@b.co", "first.last+tag@sub.example.com", "x_y@1-2.kr"] {
        assert!(takes::<Email>(good), "{good}");
    }
    let long = format!("{}@{}.com", "a".repeat(64), "b".repeat(63));
    assert!(takes::<Email>(&long));
    let too_long = format!("a@{}com", "bbbbbbb.".repeat(32));
    let long_local = format!("{}@b.co", "a".repeat(65));
    for bad in [
        "",
        "a",
        "a@b",
        "@b.co",
        "a@",
        "a@@b.co",
        "a b@c.co",
        "a@b..co",
        "a@-b.co",
        "a@b-.co",
        "가@b.co",
        &too_long,
        &long_local,
    ] {
        assert!(!takes::<Email>(bad), "{bad:?}");
    }
}

#[test]
fn telephone_numbers_are_digits() {
    for good in ["01012345678", "010-1234-5678", "+82-10-1234-5678", "12345678"] {
        assert!(takes::<Phone>(good), "{good}");
    }
    for bad in ["1234567", "-01012345678", "010--1234-5678", "010 1234 5678", "+", "1234567890123456", "٠١٢٣٤٥٦٧٨"]
    {
        assert!(!takes::<Phone>(bad), "{bad:?}");
    }
}

#[test]
fn birth_dates_are_real_days() {
    for good in ["1990-05-17", "1900-01-01", "2000-02-29"] {
        assert!(takes::<BirthDate>(good), "{good}");
    }
    for bad in ["1990-5-17", "1899-12-31", "2001-02-29", "19900517", "+1990-05-17", "yesterday", "1990-05-17T00:00:00Z"]
    {
        assert!(!takes::<BirthDate>(bad), "{bad:?}");
    }
}

#[test]
fn nobody_suspends_upwards() {
    let account = |role| Account {
        id: UserId::fresh(),
        username: "haneul01".into(),
        password_hash: None,
        name: "하늘".into(),
        nickname: "하늘".into(),
        email: None,
        email_verified: false,
        phone: None,
        phone_verified: false,
        identity_verified: false,
        birth_date: None,
        language: Language::Ko,
        role,
        banned_ms: None,
        ban_reason: None,
        tokens_after_ms: 7,
        version: 1,
        created_ms: 0,
    };
    assert!(account(Role::Member).is_banned_by(Role::Manager));
    assert!(account(Role::Company).is_banned_by(Role::Manager));
    assert!(!account(Role::Manager).is_banned_by(Role::Manager));
    assert!(!account(Role::Admin).is_banned_by(Role::Manager));
    assert!(account(Role::Admin).is_banned_by(Role::Admin));
    assert_eq!(account(Role::Member).token_issue_ms(7), 8);
    assert_eq!(account(Role::Member).token_issue_ms(9), 9);
}
