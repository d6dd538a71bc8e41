//! What a yard says about itself: JSON logs on standard error, metrics in Prometheus' text format.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

use crate::config::{self, LogFormat};

/// Buckets of every histogram in seconds: from a cached answer to the longest a handler may take.
const SECONDS_BUCKETS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 30.0];
/// Buckets, in seconds, of what waits for people: from who had it all ready to who came back the next day.
const PATIENCE_BUCKETS: [f64; 12] = [1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 3_600.0, 86_400.0];
/// The histograms that have them.
const OF_PEOPLE: [&str; 1] = ["madang_registration_step_seconds"];
/// Samples lie in memory until they are counted into buckets.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// The running telemetry of this process. Cheap to clone.
#[derive(Clone)]
pub struct Telemetry {
    filter: reload::Handle<Targets, Registry>,
    prometheus: PrometheusHandle,
}

/// Starts logs and metrics; once in a process, later calls give the running ones.
pub fn start(settings: &config::Telemetry) -> anyhow::Result<Telemetry> {
    static RUNNING: OnceLock<Telemetry> = OnceLock::new();
    if let Some(running) = RUNNING.get() {
        return Ok(running.clone());
    }
    let (filter, handle) = reload::Layer::new(filter(&settings.log_level)?);
    tracing_subscriber::registry()
        .with(filter)
        .with(lines(settings.log_format, std::io::stderr))
        .try_init()
        .context("logs were already set up")?;
    let prometheus = builder()?.install_recorder().context("metrics were already set up")?;
    describe();
    Ok(RUNNING.get_or_init(|| Telemetry { filter: handle, prometheus }).clone())
}

impl Telemetry {
    /// Changes what is logged from now on, e.g. `info,platform::db=debug`.
    pub fn set_level(&self, level: &str) -> anyhow::Result<()> {
        self.filter.reload(filter(level)?).context("the log's filter is gone")
    }

    /// All metrics in Prometheus' text format.
    pub fn render(&self) -> String {
        observe_process();
        self.prometheus.render()
    }

    /// Keeps the metrics' memory bounded; runs until it is dropped.
    pub async fn upkeep(self) {
        let mut ticks = tokio::time::interval(UPKEEP_EVERY);
        loop {
            ticks.tick().await;
            self.prometheus.run_upkeep();
        }
    }
}

/// A text that is neither a level nor a list of `part=level`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no level: off, error, warn, info, debug or trace, or part=level")]
pub struct LevelError(String);

/// Reads `info` or `info,platform::db=debug`.
pub fn check_level(level: &str) -> Result<(), LevelError> {
    filter(level).map(drop)
}

fn filter(level: &str) -> Result<Targets, LevelError> {
    // Why not `Targets`' own parser: it takes a misspelt level for the name of a part.
    level.split(',').map(str::trim).try_fold(Targets::new(), |targets, item| {
        let (part, level) = item.split_once('=').map_or((None, item), |(part, level)| (Some(part), level));
        match (part, level.parse::<LevelFilter>()) {
            // The library reads an empty level as `error`.
            _ if level.is_empty() || part == Some("") => Err(LevelError(item.to_owned())),
            (None, Ok(level)) => Ok(targets.with_default(level)),
            (Some(part), Ok(level)) => Ok(targets.with_target(part, level)),
            (_, Err(_)) => Err(LevelError(item.to_owned())),
        }
    })
}

/// How an event becomes a line.
fn lines<S, W>(format: LogFormat, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    match format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
        LogFormat::Text => lines.boxed(),
    }
}

fn builder() -> anyhow::Result<PrometheusBuilder> {
    let seconds = Matcher::Suffix("_seconds".to_owned());
    let builder = PrometheusBuilder::new().set_buckets_for_metric(seconds, &SECONDS_BUCKETS)?;
    // A full name goes before a suffix.
    OF_PEOPLE.into_iter().try_fold(builder, |builder, name| {
        Ok(builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), &PATIENCE_BUCKETS)?)
    })
}

/// Names as Prometheus' own client libraries have them.
fn describe() {
    metrics::describe_gauge!("process_resident_memory_bytes", "Resident memory");
    metrics::describe_gauge!("process_open_fds", "Open file descriptors");
    metrics::describe_gauge!("process_threads", "Threads");
    metrics::describe_gauge!("process_start_time_seconds", "Start of the process since the Unix epoch");
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    metrics::gauge!("process_start_time_seconds").set(started.as_secs_f64());
}

/// Reads this process's figures from `/proc`; where there is none (not Linux) they are left out.
fn observe_process() {
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        if let Some(kib) = status_number(&status, "VmRSS:") {
            metrics::gauge!("process_resident_memory_bytes").set(kib * 1_024.0);
        }
        if let Some(threads) = status_number(&status, "Threads:") {
            metrics::gauge!("process_threads").set(threads);
        }
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        metrics::gauge!("process_open_fds").set(open.count() as f64);
    }
}

/// The number of a line like `VmRSS:     12345 kB`.
fn status_number(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_checked() {
        for level in ["info", "warn,platform::db=debug", "off"] {
            assert!(check_level(level).is_ok(), "{level}");
        }
        for level in ["", "loud", "platform", "platform=loud", "info,", "=info"] {
            assert!(check_level(level).is_err(), "{level}");
        }
    }

    #[test]
    fn histograms_in_seconds_have_buckets_and_the_process_is_seen() {
        let recorder = builder().expect("make a recorder").build_recorder();
        metrics::with_local_recorder(&recorder, || {
            describe();
            metrics::histogram!("madang_test_seconds").record(0.002);
            observe_process();
        });
        let text = recorder.handle().render();
        assert!(text.contains("madang_test_seconds_bucket{le=\"0.001\"} 0"), "{text}");
        assert!(text.contains("madang_test_seconds_bucket{le=\"0.0025\"} 1"), "{text}");
        for name in
            ["process_resident_memory_bytes", "process_open_fds", "process_threads", "process_start_time_seconds"]
        {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            let value: f64 = line.rsplit(' ').next().and_then(|value| value.parse().ok()).unwrap_or_default();
            assert!(value >= 1.0, "{name} in {text}");
        }
    }

    #[test]
    fn the_level_changes_at_run_time() {
        let settings =
            |log_level: &str| config::Telemetry { log_level: log_level.to_owned(), log_format: LogFormat::Json };
        let telemetry = start(&settings("warn")).expect("start");
        let again = start(&settings("trace")).expect("the running one");
        assert!(!tracing::enabled!(tracing::Level::INFO));
        again.set_level("info,elsewhere=debug").expect("change the level");
        assert!(tracing::enabled!(tracing::Level::INFO));
        assert!(!tracing::enabled!(tracing::Level::DEBUG));
        assert!(tracing::enabled!(target: "elsewhere", tracing::Level::DEBUG));
        assert!(telemetry.set_level("loud").is_err());
        metrics::counter!("madang_test_total").increment(2);
        assert!(telemetry.render().contains("madang_test_total 2"));
    }

    /// Collects lines.
    #[derive(Clone, Default)]
    struct Page(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("the lock").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_event_is_one_json_object_a_line() {
        let page = Page::default();
        let writer = page.clone();
        let subscriber = tracing_subscriber::registry().with(lines(LogFormat::Json, move || writer.clone()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(race.id = 7, "a message\nof two lines");
        });
        let text = String::from_utf8(page.0.lock().expect("the lock").clone()).expect("text");
        assert_eq!(text.lines().count(), 1);
        let line: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["message"], "a message\nof two lines");
        assert_eq!(line["race.id"], 7);
        assert!(line["timestamp"].is_string() && line["target"].is_string());
    }
}
