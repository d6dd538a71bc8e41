//! What pages say. The type is made of `texts/*.txt` at build time, so that every language has every key.

use platform::http::Language;

include!(concat!(env!("OUT_DIR"), "/texts.rs"));

pub fn texts(language: Language) -> &'static Texts {
    match language {
        Language::Ko => &KO,
        Language::En => &EN,
    }
}

/// Puts values where a text has `{}`, in order.
pub fn fill(text: &str, values: &[&dyn std::fmt::Display]) -> String {
    let mut parts = text.split("{}");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    let mut values = values.iter();
    for part in parts {
        if let Some(value) = values.next() {
            filled.push_str(&value.to_string());
        }
        filled.push_str(part);
    }
    filled
}
