use std::net::{IpAddr, Ipv4Addr};

use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    public_url: String,
    secret: Secret,
    db: Backend,
    log: Backend,
    kv: Backend,
    http: Http,
    telemetry: Telemetry,
    extra: Extra,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Extra {
    share: f64,
    on: bool,
}

const EXTRA: &str = "[extra]\n# A share.\nshare = 0.5\n# On or off.\non = true\n";

impl Settings for Whole {
    fn check(&self, problems: &mut Problems) {
        check_public_url(&self.public_url, problems);
        self.db.check_db(problems);
        self.log.check_log(problems);
        self.kv.check_kv(problems);
        self.telemetry.check(problems);
        if !(0.0..=1.0).contains(&self.extra.share) {
            problems.add("extra.share", "it lies between 0 and 1");
        }
    }
}

fn load_whole(sources: &Sources) -> Result<Loaded<Whole>, Problems> {
    load(&[DEFAULTS, EXTRA].concat(), sources)
}

fn env(variables: &[(&str, &str)]) -> Sources {
    Sources::default().env(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

fn file_with(text: &str) -> (tempfile::TempDir, Sources) {
    let dir = tempfile::tempdir().expect("make a directory");
    let file = dir.path().join("madang.toml");
    std::fs::write(&file, text).expect("write the file");
    (dir, Sources::default().file(file))
}

fn keys(problems: &Problems) -> Vec<&str> {
    problems.0.iter().map(|problem| problem.key.as_str()).collect()
}

#[test]
fn without_any_source_the_defaults_count() {
    let whole = load_whole(&Sources::default()).expect("the defaults are right").settings;
    assert_eq!(whole.http.address().to_string(), "127.0.0.1:8080");
    assert_eq!(whole.db.url(), None);
    assert_eq!(whole.telemetry.log_format, LogFormat::Json);
    assert!(whole.http.trusted_proxies.is_empty());
}

#[test]
fn every_setting_has_a_comment() {
    let mut before = "";
    for line in DEFAULTS.lines() {
        assert!(!line.contains(" = ") || line.starts_with('#') || before.starts_with('#'), "{line}");
        before = line;
    }
}

#[test]
fn the_later_source_counts() {
    let (_dir, sources) = file_with("[http]\nport = 1\nbind = \"0.0.0.0\"\n[extra]\nshare = 1\n");
    let variables =
        [("MADANG__HTTP__PORT", "2"), ("MADANG__EXTRA__ON", "false"), ("MADANG_HTTP_PORT", "9"), ("PATH", "/")];
    let sources = sources.env(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let loaded = load_whole(&sources).expect("it is right");
    assert_eq!(loaded.settings.http.port, 2);
    assert_eq!(loaded.settings.http.bind, IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    assert_eq!(loaded.settings.extra.share, 1.0);
    assert!(!loaded.settings.extra.on);
    let loaded = load_whole(&sources.flag("http.port", "--port", Some(3)).flag("http.bind", "--bind", None::<&str>));
    assert_eq!(loaded.expect("it is right").settings.http.port, 3);
}

#[test]
fn the_environment_gives_texts_numbers_and_lists() {
    let sources = env(&[("MADANG__SECRET", "0123456"), ("MADANG__HTTP__TRUSTED_PROXIES", "10.0.0.0/8, ::1,192.0.2.7")]);
    let whole = load_whole(&sources).expect("it is right").settings;
    assert_eq!(whole.secret.expose(), "0123456", "a secret of digits stays a text");
    let networks: Vec<String> = whole.http.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["10.0.0.0/8", "::1/128", "192.0.2.7/32"]);
}

#[test]
fn all_mistakes_are_told_at_once_with_their_origin() {
    let (dir, sources) =
        file_with("publicurl = \"x\"\n[http]\nport = 70000\nbind = \"here\"\ntls = true\n[db]\nurl = 7\n");
    let variables = [
        ("MADANG__LOG__URL", "kafka:9092"),
        ("MADANG__KV__URL", "redis://h"),
        ("MADANG__EXTRA__SHARE", "2.5"),
        ("MADANG__EXTRA__ON", "maybe"),
        ("MADANG__NOPE__NEVER", "1"),
        ("MADANG__TELEMETRY__LOG_LEVEL", "loud"),
        ("MADANG__TELEMETRY__LOG_FORMAT", "xml"),
        ("MADANG__PUBLIC_URL", "ftp://files"),
        ("MADANG__HTTP__TRUSTED_PROXIES", "10.0.0.0/99"),
    ];
    let sources = sources.env(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let problems = load_whole(&sources).expect_err("much is wrong");
    let mut found = keys(&problems);
    found.sort_unstable();
    assert_eq!(
        found,
        [
            "db.url",
            "extra.on",
            "extra.share",
            "http.bind",
            "http.port",
            "http.tls",
            "http.trusted_proxies",
            "kv.url",
            "log.url",
            "nope.never",
            "public_url",
            "publicurl",
            "telemetry.log_format",
            "telemetry.log_level",
        ]
    );
    let text = problems.to_string();
    assert!(text.contains("log.url: Kafka is not supported by this version (MADANG__LOG__URL)"), "{text}");
    let file = dir.path().join("madang.toml").display().to_string();
    assert!(problems.0.iter().any(|problem| problem.key == "http.port" && problem.origin == file), "{text}");
}

#[test]
fn a_file_that_cannot_be_read_is_a_mistake_where_it_was_asked_for() {
    let missing = "/nonexistent/madang.toml";
    assert!(load_whole(&Sources::default().file_if_there(missing)).is_ok());
    assert_eq!(keys(&load_whole(&Sources::default().file(missing)).expect_err("no file")), ["(file)"]);
    let (_dir, sources) = file_with("secret = \"s3cret\" oops\n");
    let text = load_whole(&sources).expect_err("no TOML").to_string();
    assert!(text.contains("line 1"), "{text}");
    assert!(!text.contains("s3cret"), "{text}");
}

#[test]
fn secrets_are_never_printed() {
    let sources = env(&[("MADANG__SECRET", "s3cret"), ("MADANG__DB__URL", "postgres://u:s3cret@h/d")]);
    let loaded = load_whole(&sources).expect("it is right");
    assert_eq!(loaded.settings.db.url(), Some("postgres://u:s3cret@h/d"));
    let printed = loaded.print();
    assert!(!printed.contains("s3cret") && !format!("{loaded:?} {}", loaded.settings.secret).contains("s3cret"));
    let line = |key: &str| printed.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned();
    assert!(line("secret").contains("\"***\"") && line("secret").ends_with("# MADANG__SECRET"), "{printed}");
    assert!(line("http.port").ends_with("# default"), "{printed}");
    assert!(line("kv.url").contains("\"\""), "{printed}");
    let wrong = env(&[("MADANG__DB__URL", "mysql://u:s3cret@h/d")]);
    let text = load_whole(&wrong).expect_err("not PostgreSQL").to_string();
    assert!(text.contains("db.url") && !text.contains("s3cret"), "{text}");
}
