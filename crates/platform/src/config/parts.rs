//! The platform's own settings.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, de::Error};

use super::{Problems, Secret};

/// The defaults of the top level and of the parts below, a comment for each.
pub const DEFAULTS: &str = include_str!("defaults.toml");

/// The address of a server that a yard uses (`db`, `log`, `kv`); empty in `solo`. Secret, since it holds a password.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    pub url: Secret,
}

impl Backend {
    /// The address, if there is one.
    pub fn url(&self) -> Option<&str> {
        Some(self.url.expose().as_str()).filter(|url| !url.is_empty())
    }

    /// `db`: PostgreSQL or nothing.
    pub fn check_db(&self, problems: &mut Problems) {
        let known = |url: &str| url.starts_with("postgres://") || url.starts_with("postgresql://");
        if self.url().is_some_and(|url| !known(url)) {
            problems.add("db.url", "it begins with postgres://, or is empty for SQLite");
        }
    }

    /// `log`: nothing yet.
    pub fn check_log(&self, problems: &mut Problems) {
        if self.url().is_some() {
            problems.add("log.url", "Kafka is not supported by this version");
        }
    }

    /// `kv`: nothing yet.
    pub fn check_kv(&self, problems: &mut Problems) {
        if self.url().is_some() {
            problems.add("kv.url", "Redis is not supported by this version");
        }
    }
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    pub bind: IpAddr,
    pub port: u16,
    /// Peers whose `X-Forwarded-For` counts: networks or single addresses.
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
}

impl Http {
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.bind, self.port)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Json,
    Text,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    pub log_level: String,
    pub log_format: LogFormat,
}

impl Telemetry {
    pub fn check(&self, problems: &mut Problems) {
        if let Err(error) = crate::telemetry::check_level(&self.log_level) {
            problems.add("telemetry.log_level", error.to_string());
        }
    }
}

/// A public address is empty, or http(s) with a host.
pub fn check_public_url(public_url: &str, problems: &mut Problems) {
    let url = public_url.parse::<http::Uri>().ok();
    let is_web = url.is_some_and(|url| matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some());
    if !public_url.is_empty() && !is_web {
        problems.add("public_url", "it is an http or https address with a host, or empty");
    }
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let network = |text: &String| match text.parse::<IpAddr>() {
        Ok(address) => Ok(IpNet::from(address)),
        Err(_) => {
            text.parse::<IpNet>().map_err(|_| D::Error::custom(format!("{text:?} is no network like 10.0.0.0/8")))
        }
    };
    Vec::<String>::deserialize(deserializer)?.iter().map(network).collect()
}
