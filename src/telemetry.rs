//! Logs, request ids and the metrics registry.

use std::{
    io::{self, IsTerminal as _},
    sync::OnceLock,
    thread,
    time::Duration,
};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter,
    fmt::{self, MakeWriter},
    layer::SubscriberExt as _,
    registry,
    util::SubscriberInitExt as _,
};

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// Why there is no log or no registry.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter's directives make no sense.
    #[error("the log filter is not valid")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// Something else in this process counts already.
    #[error("the metrics registry could not be installed: {0}")]
    Metrics(String),
}

/// Begins to log to standard error, which leaves standard output to what a command is asked for.
///
/// Where the process logs already, as among tests, that stays as it is.
pub fn start_log(filter: &str, format: Format) -> Result<(), TelemetryError> {
    // Fails only where the process logs already.
    let _ = subscriber(filter, format, io::stderr)?.try_init();
    Ok(())
}

/// What writes the log; tests give it a writer of their own and see the same lines.
pub fn subscriber<W>(
    filter: &str,
    format: Format,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, TelemetryError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(filter).map_err(TelemetryError::Filter)?;
    let base = registry().with(filter);
    let lines = fmt::layer().with_writer(writer);
    Ok(match format {
        Format::Json => Box::new(base.with(lines.json().flatten_event(true))),
        Format::Text if io::stderr().is_terminal() => Box::new(base.with(lines)),
        Format::Text => Box::new(base.with(lines.with_ansi(false))),
    })
}

/// Upper bounds for everything that is measured in seconds: from a page out of memory to a call that times out.
const SECONDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];
/// For how long a status was wrong: from a minute to as long as Stripe keeps events.
const DAYS: &[f64] = &[
    60.0,
    600.0,
    3600.0,
    21_600.0,
    86_400.0,
    259_200.0,
    2_592_000.0,
];
/// Measurements are kept one by one until they are counted, so a server that nobody scrapes has to count, too.
const UPKEEP: Duration = Duration::from_secs(5);

/// Everything that is counted and measured in this process.
#[derive(Clone, Debug)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Begins to count. Further calls give the same registry.
    pub fn start() -> Result<Self, TelemetryError> {
        static REGISTRY: OnceLock<Result<Metrics, String>> = OnceLock::new();
        REGISTRY
            .get_or_init(|| install().map_err(|error| error.to_string()))
            .clone()
            .map_err(TelemetryError::Metrics)
    }

    /// All of it, in Prometheus' text format.
    pub fn render(&self) -> String {
        self.0.render()
    }
}

fn install() -> Result<Metrics, metrics_exporter_prometheus::BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
        .set_buckets_for_metric(
            Matcher::Full("verigate_healed_after_seconds".to_owned()),
            DAYS,
        )?
        .install_recorder()?;
    let counted = handle.clone();
    thread::spawn(move || {
        loop {
            thread::sleep(UPKEEP);
            counted.run_upkeep();
        }
    });
    Ok(Metrics(handle))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(filter: &str, format: Format) -> String {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = subscriber(filter, format, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            let request = tracing::info_span!("request", request.id = "req-1");
            let _entered = request.enter();
            tracing::info!(session = "vs_1", "told");
            tracing::debug!("detail");
        });
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_for_machines_is_one_object_with_the_requests_id() {
        let text = logged("info", Format::Json);
        let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!(line["message"], "told");
        assert_eq!(line["session"], "vs_1");
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["span"]["request.id"], "req-1");
    }

    #[test]
    fn a_line_for_people_names_the_request_too_and_the_filter_holds() {
        let text = logged("info", Format::Text);
        assert!(text.contains("req-1") && text.contains("told"), "{text}");
        assert!(!text.contains("detail"), "{text}");
        assert!(logged("debug", Format::Text).contains("detail"));
        assert_eq!(logged("off", Format::Text), "");
    }

    #[test]
    fn a_filter_that_makes_no_sense_is_an_error() {
        assert!(start_log("verigate=loud", Format::Text).is_err());
    }

    #[test]
    fn starting_twice_changes_nothing() {
        start_log("off", Format::Text).unwrap();
        start_log("off", Format::Json).unwrap();
        let (one, other) = (Metrics::start().unwrap(), Metrics::start().unwrap());
        metrics::counter!("verigate_test_total", "kind" => "a").increment(2);
        metrics::histogram!("verigate_test_seconds").record(0.2);
        for registry in [one, other] {
            let text = registry.render();
            assert!(
                text.contains(r#"verigate_test_total{kind="a"} 2"#),
                "{text}"
            );
            assert!(
                text.contains(r#"verigate_test_seconds_bucket{le="0.25"} 1"#),
                "{text}"
            );
        }
    }
}
