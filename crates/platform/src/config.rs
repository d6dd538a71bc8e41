//! Configuration: embedded defaults → file → `MADANG__PART__KEY` → command-line flags, the later one counts.
//!
//! The defaults are a TOML text with a comment per key, and they are the list of settings too: every setting has a
//! default there, a key that is not there is a mistake, and a value has the type of its default. All mistakes are
//! told at once. (Hand-made over `toml`: figment guesses the type of an environment variable from its text, so that
//! a secret of digits becomes a number, and it stops at the first mistake.)

mod parts;
mod secret;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

pub use parts::{Backend, DEFAULTS, Http, LogFormat, Telemetry, check_public_url};
pub use secret::Secret;

const ENV_PREFIX: &str = "MADANG__";

/// A whole configuration, made of its parts' structs. Its fields are exactly the keys of its defaults.
pub trait Settings: DeserializeOwned + Serialize {
    /// Ranges and relations that types do not say.
    fn check(&self, problems: &mut Problems);
}

/// Where settings come from besides the defaults.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    file: Option<PathBuf>,
    file_required: bool,
    env: Vec<(String, String)>,
    flags: Vec<(&'static str, &'static str, String)>,
}

impl Sources {
    /// The environment of this process.
    pub fn process() -> Self {
        let text = |os: std::ffi::OsString| os.to_string_lossy().into_owned();
        Self::default().env(std::env::vars_os().map(|(name, value)| (text(name), text(value))))
    }

    /// Environment variables; those that do not begin with `MADANG__` are none of ours.
    pub fn env(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.env.extend(variables.into_iter().filter(|(name, _)| name.starts_with(ENV_PREFIX)));
        self
    }

    /// A file that has to be there.
    pub fn file(self, path: impl Into<PathBuf>) -> Self {
        Self { file: Some(path.into()), file_required: true, ..self }
    }

    /// A file that counts where it is there.
    pub fn file_if_there(self, path: impl Into<PathBuf>) -> Self {
        Self { file: Some(path.into()), file_required: false, ..self }
    }

    /// A command-line flag (`--port`) that sets `key`, if it was given.
    pub fn flag(mut self, key: &'static str, flag: &'static str, value: Option<impl ToString>) -> Self {
        self.flags.extend(value.map(|value| (key, flag, value.to_string())));
        self
    }
}

/// A configuration that was read and found right.
#[derive(Clone, Debug)]
pub struct Loaded<T> {
    pub settings: T,
    origins: Origins,
}

/// Where each setting that is not at its default was set.
type Origins = BTreeMap<String, String>;

impl<T: Serialize> Loaded<T> {
    /// One `key = value  # source` a line; secrets as `***`.
    pub fn print(&self) -> String {
        let table = Table::try_from(&self.settings).unwrap_or_default();
        let line = |(key, value): (String, Value)| {
            let origin = self.origins.get(&key).map_or("default", String::as_str);
            format!("{:<48} # {origin}\n", format!("{key} = {value}"))
        };
        leaves(&table).into_iter().map(line).collect()
    }
}

/// One mistake in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub key: String,
    /// The file, the variable or the flag that set it.
    pub origin: String,
    pub message: String,
}

/// All mistakes of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// Notes that the value of `key` (`part.key`) will not do. The message must not hold a secret.
    pub fn add(&mut self, key: &str, message: impl Into<String>) {
        self.0.push(Problem { key: key.to_owned(), origin: String::new(), message: message.into() });
    }

    fn add_from(&mut self, key: &str, origin: &str, message: impl Into<String>) {
        self.0.push(Problem { key: key.to_owned(), origin: origin.to_owned(), message: message.into() });
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration is not right:")?;
        for Problem { key, origin, message } in &self.0 {
            write!(f, "\n  {key}: {message} ({origin})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Reads a configuration. `defaults` is the TOML text of all its parts.
pub fn load<T: Settings>(defaults: &str, sources: &Sources) -> Result<Loaded<T>, Problems> {
    let mut problems = Problems::default();
    let defaults = match defaults.parse::<Table>() {
        Ok(table) => leaves(&table),
        Err(error) => {
            problems.add_from("(defaults)", "embedded", error.message());
            return Err(problems);
        }
    };
    let mut reader = Reader { values: defaults.clone(), defaults, origins: Origins::new(), problems };
    reader.read_file(sources);
    for (name, text) in &sources.env {
        let key = name[ENV_PREFIX.len()..].to_lowercase().replace("__", ".");
        reader.set_text(&key, name, text);
    }
    for (key, flag, text) in &sources.flags {
        reader.set_text(key, flag, text);
    }
    reader.finish()
}

struct Reader {
    defaults: BTreeMap<String, Value>,
    values: BTreeMap<String, Value>,
    origins: Origins,
    problems: Problems,
}

impl Reader {
    fn read_file(&mut self, sources: &Sources) {
        let Some(path) = &sources.file else { return };
        let origin = path.display().to_string();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !sources.file_required => {
                return;
            }
            Err(error) => return self.problems.add_from("(file)", &origin, error.to_string()),
        };
        match text.parse::<Table>() {
            Ok(table) => {
                for (key, value) in leaves(&table) {
                    self.set(&key, &origin, |default| typed(value, default));
                }
            }
            Err(error) => {
                // Only the message: the full text quotes the line, and a line may hold a secret.
                let line = error.span().map_or(0, |span| text[..span.start].lines().count().max(1));
                self.problems.add_from("(file)", &origin, format!("line {line}: {}", error.message()));
            }
        }
    }

    fn set_text(&mut self, key: &str, origin: &str, text: &str) {
        self.set(key, origin, |default| parsed(text, default));
    }

    fn set(&mut self, key: &str, origin: &str, value: impl FnOnce(&Value) -> Result<Value, &'static str>) {
        match self.defaults.get(key).map(value) {
            None => self.problems.add_from(key, origin, "there is no such setting"),
            Some(Err(message)) => self.problems.add_from(key, origin, message),
            Some(Ok(value)) => {
                self.values.insert(key.to_owned(), value);
                self.origins.insert(key.to_owned(), origin.to_owned());
            }
        }
    }

    /// Makes the typed settings; a value that will not do is noted and replaced by its default, to find the others.
    fn finish<T: Settings>(mut self) -> Result<Loaded<T>, Problems> {
        let settings = loop {
            let error = match serde_path_to_error::deserialize::<_, T>(Value::Table(nested(&self.values))) {
                Ok(settings) => break settings,
                Err(error) => error,
            };
            let path = error.path().to_string();
            let key = path.split('[').next().unwrap_or_default().to_owned();
            let Some(origin) = self.origins.remove(&key) else {
                self.problems.add_from(&path, "embedded", error.inner().message());
                return Err(self.problems);
            };
            self.problems.add_from(&key, &origin, error.inner().message());
            self.values.insert(key.clone(), self.defaults[&key].clone());
        };
        let mut found = Problems::default();
        settings.check(&mut found);
        for problem in found.0 {
            let origin = self.origins.get(&problem.key).map_or("default", String::as_str);
            self.problems.add_from(&problem.key, origin, problem.message);
        }
        if self.problems.0.is_empty() { Ok(Loaded { settings, origins: self.origins }) } else { Err(self.problems) }
    }
}

/// The settings of a table by their dotted keys.
fn leaves(table: &Table) -> BTreeMap<String, Value> {
    let mut out = BTreeMap::new();
    for (name, value) in table {
        match value {
            Value::Table(part) => {
                out.extend(leaves(part).into_iter().map(|(key, value)| (format!("{name}.{key}"), value)));
            }
            value => {
                out.insert(name.clone(), value.clone());
            }
        }
    }
    out
}

/// The opposite of [`leaves`].
fn nested(values: &BTreeMap<String, Value>) -> Table {
    let mut out = Table::new();
    for (key, value) in values {
        insert(&mut out, key, value);
    }
    out
}

fn insert(table: &mut Table, key: &str, value: &Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value.clone());
        }
        Some((part, rest)) => {
            let inner = table.entry(part).or_insert_with(|| Value::Table(Table::new()));
            // Keys come from a table, so that none is both a value and a part.
            if let Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

/// A file's value, if it has the type of the default.
fn typed(value: Value, default: &Value) -> Result<Value, &'static str> {
    match (value, default) {
        (Value::Integer(number), Value::Float(_)) => Ok(Value::Float(number as f64)),
        (value, default) if value.same_type(default) => Ok(value),
        (_, default) => Err(expected(default)),
    }
}

/// A text as a value of the default's type; lists are separated by commas.
fn parsed(text: &str, default: &Value) -> Result<Value, &'static str> {
    let value = match default {
        Value::String(_) => Some(Value::String(text.to_owned())),
        Value::Integer(_) => text.trim().parse().ok().map(Value::Integer),
        Value::Float(_) => text.trim().parse().ok().map(Value::Float),
        Value::Boolean(_) => text.trim().parse().ok().map(Value::Boolean),
        Value::Array(_) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Some(Value::Array(items.map(|item| Value::String(item.to_owned())).collect()))
        }
        Value::Datetime(_) | Value::Table(_) => None,
    };
    value.ok_or(expected(default))
}

fn expected(default: &Value) -> &'static str {
    match default {
        Value::String(_) => "it has to be a text",
        Value::Integer(_) => "it has to be a whole number",
        Value::Float(_) => "it has to be a number",
        Value::Boolean(_) => "it has to be true or false",
        Value::Array(_) => "it has to be a list",
        Value::Datetime(_) | Value::Table(_) => "it cannot be set",
    }
}

#[cfg(test)]
mod tests;
