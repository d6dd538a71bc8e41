//! The settings of a yard: those of its parts, put together.

use platform::config::{self, Backend, Http, Problems, Settings, Sources, Telemetry};
use platform::revocation;
use serde::{Deserialize, Serialize};

pub type Loaded = config::Loaded<Config>;

/// Everything that can be set. Its fields are the keys of the default texts.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub public_url: String,
    pub secret: config::Secret,
    pub db: Backend,
    pub log: Backend,
    pub kv: Backend,
    pub http: Http,
    pub telemetry: Telemetry,
    pub gateway: gateway::Config,
    pub identity: Identity,
    pub races: Races,
    pub payments: Payments,
    pub notify: Notify,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    pub access_token_s: u32,
    pub refresh_token_s: u32,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Races {
    pub refusals_logged_max: u64,
    pub paying_max_s: u32,
    pub utc_offset_s: i32,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Payments {
    pub settle_after_ms: u32,
    pub provider_timeout_ms: u32,
    pub webhook_url: String,
    pub sandbox: Sandbox,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    pub smtp_url: config::Secret,
    pub mail_from: String,
    pub slack_token: config::Secret,
    pub slack_url: String,
    pub operators_url: config::Secret,
    pub timeout_ms: u32,
    pub retry_ms: u32,
    pub tries_max: u32,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Sandbox {
    pub enabled: bool,
    pub url: String,
    pub key: config::Secret,
    pub late_ms: u32,
    pub unknown_ms: u32,
}

/// A shorter key could be guessed.
const SANDBOX_KEY_CHARS_MIN: usize = 16;

impl Config {
    /// Reads defaults, file, environment and flags; all mistakes at once.
    pub fn load(sources: &Sources) -> Result<Loaded, Problems> {
        config::load(&[config::DEFAULTS, gateway::DEFAULTS, include_str!("default.toml")].join("\n"), sources)
    }

    /// For a command that opens the yard without serving: it logs only what somebody should act on.
    pub fn quiet(mut self) -> Config {
        "warn".clone_into(&mut self.telemetry.log_level);
        self
    }
}

impl Settings for Config {
    fn check(&self, problems: &mut Problems) {
        config::check_public_url(&self.public_url, problems);
        self.db.check_db(problems);
        self.log.check_log(problems);
        self.kv.check_kv(problems);
        self.telemetry.check(problems);
        let mut within = |key: &str, value: i64, range: std::ops::RangeInclusive<i64>| {
            if !range.contains(&value) {
                problems.add(key, format!("it lies between {} and {}", range.start(), range.end()));
            }
        };
        // Invariant: a revocation is known for as long as a token made before it can live.
        let access_token_s = i64::from(self.identity.access_token_s);
        within("identity.access_token_s", access_token_s, 10..=revocation::KEPT_MS / 1_000);
        within(
            "identity.refresh_token_s",
            i64::from(self.identity.refresh_token_s),
            access_token_s..=10 * 366 * 86_400,
        );
        within(
            "races.refusals_logged_max",
            i64::try_from(self.races.refusals_logged_max).unwrap_or(i64::MAX),
            0..=10_000_000,
        );
        within("races.paying_max_s", i64::from(self.races.paying_max_s), 60..=7 * 86_400);
        within("races.utc_offset_s", i64::from(self.races.utc_offset_s), -43_200..=50_400);
        // Invariant: a call to a provider ends well before the request it is made for.
        let timeout_ms = i64::from(self.payments.provider_timeout_ms);
        within("payments.provider_timeout_ms", timeout_ms, 100..=10_000);
        within("payments.settle_after_ms", i64::from(self.payments.settle_after_ms), timeout_ms..=600_000);
        within("payments.sandbox.late_ms", i64::from(self.payments.sandbox.late_ms), 0..=3_600_000);
        within("payments.sandbox.unknown_ms", i64::from(self.payments.sandbox.unknown_ms), 0..=3_600_000);
        within("notify.timeout_ms", i64::from(self.notify.timeout_ms), 100..=15_000);
        within("notify.retry_ms", i64::from(self.notify.retry_ms), 10..=600_000);
        within("notify.tries_max", i64::from(self.notify.tries_max), 1..=100);
        self.payments.check(problems);
        self.notify.check(problems);
    }
}

impl Notify {
    fn check(&self, problems: &mut Problems) {
        let web = |url: &str| url.starts_with("http://") || url.starts_with("https://");
        if !web(&self.slack_url) {
            problems.add("notify.slack_url", "it begins with http:// or https://");
        }
        let operators = self.operators_url.expose();
        if !operators.is_empty() && !web(operators) {
            problems.add("notify.operators_url", "it begins with http:// or https://, or is empty");
        }
        let smtp = self.smtp_url.expose();
        if !smtp.is_empty() && !smtp.starts_with("smtp://") && !smtp.starts_with("smtps://") {
            problems.add("notify.smtp_url", "it begins with smtp:// or smtps://, or is empty");
        }
    }
}

impl Payments {
    fn check(&self, problems: &mut Problems) {
        let mut web = |key: &str, url: &str| {
            if !url.is_empty() && !url.starts_with("http://") && !url.starts_with("https://") {
                problems.add(key, "it begins with http:// or https://, or is empty");
            }
        };
        web("payments.webhook_url", &self.webhook_url);
        web("payments.sandbox.url", &self.sandbox.url);
        let key_len = self.sandbox.key.expose().len();
        if (key_len > 0 || !self.sandbox.url.is_empty()) && key_len < SANDBOX_KEY_CHARS_MIN {
            problems.add(
                "payments.sandbox.key",
                format!("a sandbox elsewhere shares a key of {SANDBOX_KEY_CHARS_MIN} characters or more"),
            );
        }
    }
}

impl From<&Sandbox> for payments::sandbox::Timing {
    fn from(settings: &Sandbox) -> Self {
        Self {
            late_ms: i64::from(settings.late_ms),
            unknown_ms: i64::from(settings.unknown_ms),
            ..payments::sandbox::Timing::default()
        }
    }
}

impl From<&Identity> for identity::Config {
    fn from(settings: &Identity) -> Self {
        Self { access_token_s: settings.access_token_s, refresh_token_s: settings.refresh_token_s }
    }
}

impl From<&Config> for payments::Config {
    fn from(settings: &Config) -> Self {
        Self { settle_after_ms: i64::from(settings.payments.settle_after_ms), offset_s: settings.races.utc_offset_s }
    }
}

impl From<&Config> for notify::Config {
    fn from(settings: &Config) -> Self {
        Self { offset_s: settings.races.utc_offset_s }
    }
}

impl From<&Config> for notify::OutsideSettings {
    fn from(settings: &Config) -> Self {
        let own = settings.notify.clone();
        Self {
            smtp_url: own.smtp_url,
            mail_from: own.mail_from,
            slack_token: own.slack_token,
            slack_url: own.slack_url,
            operators_url: own.operators_url,
            public_url: settings.public_url.clone(),
            timeout_ms: own.timeout_ms,
            retry_ms: own.retry_ms,
            tries_max: own.tries_max,
        }
    }
}

impl From<&Races> for races::Config {
    fn from(settings: &Races) -> Self {
        Self {
            refusals_logged_max: settings.refusals_logged_max,
            paying_max_s: settings.paying_max_s,
            offset_s: settings.utc_offset_s,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_right_and_those_of_the_parts() {
        let config = Config::load(&Sources::default()).expect("right").settings;
        assert_eq!(identity::Config::from(&config.identity), identity::Config::default());
        let (set, default) = (races::Config::from(&config.races), races::Config::default());
        assert_eq!(format!("{set:?}"), format!("{default:?}"));
        assert_eq!(payments::Config::from(&config), payments::Config::default());
        assert_eq!(notify::Config::from(&config), notify::Config::default());
        let (set, default) = (notify::OutsideSettings::from(&config), notify::OutsideSettings::default());
        assert_eq!(format!("{set:?}"), format!("{default:?}"));
        assert_eq!(payments::sandbox::Timing::from(&config.payments.sandbox), payments::sandbox::Timing::default());
    }

    #[test]
    fn relations_between_settings_are_checked() {
        let set =
            |name: &str, value: &str| Config::load(&Sources::default().env([(name.to_owned(), value.to_owned())]));
        for (name, value) in [
            ("MADANG__IDENTITY__ACCESS_TOKEN_S", "3600"),
            ("MADANG__IDENTITY__REFRESH_TOKEN_S", "800"),
            ("MADANG__RACES__UTC_OFFSET_S", "86400"),
            ("MADANG__RACES__PAYING_MAX_S", "-1"),
            ("MADANG__KV__URL", "redis://h"),
            ("MADANG__PAYMENTS__SETTLE_AFTER_MS", "4999"),
            ("MADANG__PAYMENTS__WEBHOOK_URL", "run.example.org"),
            ("MADANG__PAYMENTS__SANDBOX__KEY", "too short"),
            ("MADANG__NOTIFY__SLACK_URL", "slack.com"),
            ("MADANG__NOTIFY__TIMEOUT_MS", "20000"),
        ] {
            let problems = set(name, value).expect_err(name).to_string();
            assert!(problems.contains(name), "{problems}");
        }
        assert!(set("MADANG__IDENTITY__ACCESS_TOKEN_S", "60").is_ok());
        let without_key = set("MADANG__PAYMENTS__SANDBOX__URL", "http://127.0.0.1:9").expect_err("no key").to_string();
        assert!(without_key.contains("payments.sandbox.key"), "{without_key}");
    }
}
