//! Values, and the texts that are made of them. Pure.

use chrono::{DateTime, Datelike, FixedOffset, Timelike};
use kernel::Won;
use platform::http::Language;
use serde_json::{Map, Value};

/// What a notice says, by name.
pub type Values = Map<String, Value>;

/// What a text is made for.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    pub language: Language,
    /// Seconds east of UTC.
    pub offset_s: i32,
}

/// Puts the values into a text; what has no value is left out.
pub fn render(template: &str, values: &Values, style: Style) -> String {
    let mut out = String::with_capacity(template.len() + 32);
    for piece in pieces(template) {
        match piece {
            Piece::Plain(text) => out.push_str(text),
            Piece::Name(name) => out.push_str(&shown(name, values.get(name), style)),
            Piece::Broken => {}
        }
    }
    out
}

/// Is every name in braces one of these, and every brace part of one? `Err` says what is not.
pub fn check_template(template: &str, known: &[&str]) -> Result<(), String> {
    for piece in pieces(template) {
        match piece {
            Piece::Plain(_) => {}
            Piece::Name(name) if known.contains(&name) => {}
            Piece::Name(name) => return Err(format!("{{{name}}} is not known here; known are: {}", known.join(", "))),
            Piece::Broken => return Err("a brace stands alone".to_owned()),
        }
    }
    Ok(())
}

#[derive(Debug, PartialEq)]
enum Piece<'a> {
    Plain(&'a str),
    Name(&'a str),
    Broken,
}

fn pieces(template: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        pieces.push(Piece::Plain(&rest[..at]));
        let inside = &rest[at + 1..];
        match (rest[at..].starts_with('{'), inside.find(['{', '}'])) {
            (true, Some(end)) if inside[end..].starts_with('}') => {
                pieces.push(Piece::Name(&inside[..end]));
                rest = &inside[end + 1..];
            }
            _ => {
                pieces.push(Piece::Broken);
                rest = inside;
            }
        }
    }
    pieces.push(Piece::Plain(rest));
    pieces
}

/// A value as people read it; its name says what it is.
fn shown(name: &str, value: Option<&Value>, style: Style) -> String {
    match (name, value) {
        ("amount", Some(Value::Number(won))) => money(won.as_i64().unwrap_or_default(), style.language),
        ("until", Some(Value::Number(ms))) => moment(ms.as_i64().unwrap_or_default(), style),
        (_, Some(Value::String(text))) => text.clone(),
        (_, Some(Value::Number(number))) => number.to_string(),
        _ => String::new(),
    }
}

fn money(won: i64, language: Language) -> String {
    let grouped = Won(won).grouped();
    match language {
        Language::Ko => format!("{grouped}원"),
        Language::En => format!("{grouped} won"),
    }
}

fn moment(ms: i64, style: Style) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let zone = FixedOffset::east_opt(style.offset_s);
    let Some((zone, utc)) = zone.zip(DateTime::from_timestamp_millis(ms)) else { return String::new() };
    let at = utc.with_timezone(&zone);
    let (day, hour, minute) = (at.day(), at.hour(), at.minute());
    match style.language {
        Language::Ko => format!("{}월 {day}일 {hour:02}:{minute:02}", at.month()),
        Language::En => format!("{day} {} {hour:02}:{minute:02}", MONTHS[at.month0() as usize % 12]),
    }
}

/// When somebody is told that his hold ends: a fifth of it before, an hour at most.
pub fn remind_ms(from_ms: i64, until_ms: i64) -> i64 {
    const LEAD_MS_MAX: i64 = 3_600_000;
    until_ms - ((until_ms - from_ms) / 5).clamp(0, LEAD_MS_MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KO: Style = Style { language: Language::Ko, offset_s: 9 * 3_600 };
    const EN: Style = Style { language: Language::En, offset_s: 9 * 3_600 };

    fn values(value: Value) -> Values {
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn values_are_shown_as_people_write_them() {
        let values =
            values(json!({ "race": "한강 {bib}", "amount": 1_230_000, "until": 1_767_225_540_000_i64, "bib": 7 }));
        let text = "{race}: {amount}, {until}, {bib}{nothing}.";
        assert_eq!(render(text, &values, KO), "한강 {bib}: 1,230,000원, 1월 1일 08:59, 7.");
        assert_eq!(render(text, &values, EN), "한강 {bib}: 1,230,000 won, 1 Jan 08:59, 7.");
        for (won, told) in [(0, "0원"), (999, "999원"), (1_000, "1,000원"), (30_000, "30,000원")] {
            assert_eq!(money(won, Language::Ko), told);
        }
    }

    #[test]
    fn a_template_names_only_what_is_known() {
        assert_eq!(check_template("{race} to {until}", &["race", "until"]), Ok(()));
        assert_eq!(check_template("no names", &[]), Ok(()));
        for wrong in ["{rase}", "{race", "race}", "{{race}}", "{}", "{ race }"] {
            assert!(check_template(wrong, &["race"]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_reminder_comes_a_fifth_before_the_end_and_an_hour_at_most() {
        assert_eq!(remind_ms(0, 600_000), 480_000);
        assert_eq!(remind_ms(0, 86_400_000), 86_400_000 - 3_600_000);
        assert_eq!(remind_ms(10, 5), 5);
    }
}
