//! Metrics for Prometheus.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_appender::non_blocking::ErrorCounter;

/// Seconds. Requests to CRMs take between milliseconds and a minute.
const BUCKETS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// How often observations are sorted into buckets when nobody asks.
const UPKEEP: Duration = Duration::from_secs(5);

/// The process's metrics.
#[derive(Clone)]
pub(crate) struct Metrics {
    handle: PrometheusHandle,
    dropped_lines: Option<ErrorCounter>,
}

impl Metrics {
    /// Records from now on.
    ///
    /// # Errors
    /// A sentence when the process has a recorder already.
    pub(crate) fn install(dropped_lines: ErrorCounter) -> Result<Self, String> {
        let failed = |error: metrics_exporter_prometheus::BuildError| format!("metrics can't be recorded: {error}");
        let builder = PrometheusBuilder::new().set_buckets(&BUCKETS).map_err(failed)?;
        let handle = builder.install_recorder().map_err(failed)?;
        syncline_engine::describe_metrics();
        describe_gauge!("syncline_build_info", "1, with the version as a label");
        describe_counter!("syncline_config_reloads_total", "Configurations read again, by outcome");
        describe_counter!("syncline_log_lines_dropped_total", "Log lines dropped because nobody read them");
        gauge!("syncline_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        Ok(Self { handle, dropped_lines: Some(dropped_lines) })
    }

    #[cfg(test)]
    pub(crate) fn detached() -> Self {
        Self { handle: PrometheusBuilder::new().build_recorder().handle(), dropped_lines: None }
    }

    /// The metrics in Prometheus' text format.
    pub(crate) fn render(&self) -> String {
        if let Some(dropped) = &self.dropped_lines {
            counter!("syncline_log_lines_dropped_total").absolute(dropped.dropped_lines() as u64);
        }
        self.handle.render()
    }

    /// Keeps memory bounded while nobody asks.
    pub(crate) fn upkeep(&self) -> impl Future<Output = ()> + Send + 'static {
        let handle = self.handle.clone();
        async move {
            let mut interval = tokio::time::interval(UPKEEP);
            loop {
                interval.tick().await;
                handle.run_upkeep();
            }
        }
    }

    /// The sum of a counter over all series that have these labels.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        sum(&self.handle.render(), name, labels)
    }
}

fn sum(text: &str, name: &str, labels: &[(&str, &str)]) -> u64 {
    let wanted: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
    let series = text.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let rest = series.strip_prefix(name)?;
        let has_name = rest.is_empty() || rest.starts_with('{');
        (has_name && wanted.iter().all(|label| rest.contains(label.as_str()))).then(|| value.parse::<u64>().ok())?
    });
    series.sum()
}

#[cfg(test)]
mod tests {
    use super::sum;

    #[test]
    fn series_are_summed_by_label() {
        let text = "# TYPE a counter\na{x=\"1\",y=\"2\"} 3\na{x=\"2\",y=\"2\"} 4\nab{x=\"1\"} 100\nplain 5\n";
        assert_eq!(sum(text, "a", &[("y", "2")]), 7);
        assert_eq!(sum(text, "a", &[("x", "1")]), 3);
        assert_eq!(sum(text, "a", &[("x", "3")]), 0);
        assert_eq!(sum(text, "plain", &[]), 5);
    }
}
