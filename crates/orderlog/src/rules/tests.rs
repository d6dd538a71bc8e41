use super::*;

const PUBLISHED: &str = r#"{"closes_ms":2000,"confirm":"later","eligibility":{"account_before_ms":null,"age_max":null,"age_min":19,"verified":"none"},"format":1,"hold_s":600,"line_after_close":false,"offer":"01900000-0000-7000-8000-000000000001","opens_ms":1000,"paying_max_s":1800,"per_person":1,"policy":"first_come","pools":[{"capacity":100,"code":"10k","group":"course","held_back":5,"label":"10 km \"한강\""},{"capacity":3,"code":"s1-1","group":"souvenir","held_back":0,"label":"S"}],"refusals_logged_max":1000000,"return_to":"line","units_max":2,"waitlist":true,"waitlist_hold_s":86400,"want":[{"group":"course","max":1,"min":1},{"group":"souvenir","max":1,"min":0}]}"#;

fn rules() -> Rules {
    Rules::parse(PUBLISHED.as_bytes()).expect("sound rules")
}

#[test]
fn canonical_bytes_are_read_and_written_the_same() {
    assert_eq!(String::from_utf8(rules().canonical()).as_deref(), Ok(PUBLISHED));
    assert_eq!(rules().sha(), Rules::sha_of(PUBLISHED.as_bytes()));
}

#[test]
fn every_other_spelling_is_refused() {
    for (from, to) in [
        (r#""age_min":19,"#, ""),
        (r#""closes_ms":2000,"#, ""),
        (r#""format":1"#, r#""format":2"#),
        (r#""format":1"#, r#""extra":1,"format":1"#),
        (r#""format":1"#, r#""format": 1"#),
        (r#""format":1"#, r#""format":1.0"#),
        (r#""age_min":19"#, r#""age_min":-1"#),
        ("01900000-0000", "019000000000"),
        ("8000-000000000001", "8000-00000000000A"),
        (r#""policy":"first_come""#, r#""policy":"lottery""#),
        (r#""opens_ms":1000"#, r#""opens_ms":2001"#),
        (r#""opens_ms":1000"#, r#""opens_ms":-1"#),
        (r#""closes_ms":2000"#, r#""closes_ms":9007199254740992"#),
        (r#""refusals_logged_max":1000000"#, r#""refusals_logged_max":9007199254740992"#),
        (r#""per_person":1"#, r#""per_person":0"#),
        (r#""units_max":2"#, r#""units_max":0"#),
        (r#""held_back":5"#, r#""held_back":101"#),
        (r#""code":"10k""#, r#""code":"z""#),
        (r#""code":"10k""#, r#""code":"s1-1""#),
        (r#""code":"10k""#, r#""code":"10K""#),
        (r#""max":1,"min":1"#, r#""max":1,"min":2"#),
        (r#""max":1,"min":0"#, r#""max":0,"min":0"#),
        (r#"{"group":"souvenir","max":1,"min":0}"#, r#"{"group":"course","max":1,"min":0}"#),
        (r#"[{"group":"course","max":1,"min":1},{"group":"souvenir","max":1,"min":0}]"#, "[]"),
        ("한강", r"\ud55c강"),
        (r#"}]}"#, "}]}\n"),
    ] {
        let text = PUBLISHED.replacen(from, to, 1);
        assert_ne!(text, PUBLISHED, "{from}");
        assert!(Rules::parse(text.as_bytes()).is_err(), "{to}");
    }
}

/// Strings and key order of RFC 8785 §3.2.
#[test]
fn canonical_strings_and_keys() {
    let value = serde_json::json!({"\u{20ac}": 1, "\r": "\u{0f}\u{8}\t\n\u{c}\r\"\\/\u{7f}€", "1": [true, null, {}], "\u{1f600}": 2, "\u{fb33}": 3});
    let text = String::from_utf8(canonical::bytes(&value)).expect("text");
    let expected = "{\"\\r\":\"\\u000f\\b\\t\\n\\f\\r\\\"\\\\/\u{7f}€\",\"1\":[true,null,{}],\"\u{20ac}\":1,\"\u{1f600}\":2,\"\u{fb33}\":3}";
    assert_eq!(text, expected);
}

#[test]
fn wants_within_the_rules() {
    let check = |want: &str| rules().check_want(&want.parse().expect("want"));
    assert_eq!(check("10k:1"), Ok(()));
    assert_eq!(check("10k:2,s1-1:1"), Ok(()));
    assert!(matches!(check("10k:3"), Err(WantError::TooManyUnits { units_max: 2, .. })));
    assert!(matches!(check("5k:1"), Err(WantError::UnknownPool { .. })));
    assert!(matches!(check("s1-1:1"), Err(WantError::TooFew { min: 1, .. })));
    let mut two = rules();
    two.pools[1].group = "course".to_owned();
    let both: Want = "10k:1,s1-1:1".parse().expect("want");
    assert!(matches!(two.check_want(&both), Err(WantError::TooMany { max: 1, .. })));
    let mut unlisted = rules();
    unlisted.want.pop();
    assert!(matches!(unlisted.check_want(&both), Err(WantError::TooMany { max: 0, .. })));
}
