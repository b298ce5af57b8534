//! Metrics in Prometheus' text format 0.0.4, which upstream serves.
//!
//! The library prints OpenMetrics: the same samples, but what it says of them is worded otherwise.

use std::fmt;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::{MetricType, TypedMetric};

pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A counter whose name upstream gives no `_total` to. The library knows no such counters: to it the type is unknown.
#[derive(Clone, Debug, Default)]
pub struct PlainCounter(Counter);

impl PlainCounter {
    pub fn inc(&self) {
        self.0.inc();
    }
}

impl EncodeMetric for PlainCounter {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        encoder.encode_gauge(&i64::try_from(self.0.get()).unwrap_or(i64::MAX))
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl TypedMetric for PlainCounter {
    const TYPE: MetricType = MetricType::Unknown;
}

/// What the library printed, in the older format.
pub fn text(printed: &str) -> String {
    let mut text = String::with_capacity(printed.len());
    let mut help = None;
    for line in printed.lines() {
        if let Some(said) = line.strip_prefix("# HELP ") {
            help = said.split_once(' ');
        } else if let Some(said) = line.strip_prefix("# TYPE ") {
            let (name, of_type) = said.split_once(' ').unwrap_or((said, "untyped"));
            let (suffix, of_type) = match of_type {
                "counter" => ("_total", "counter"),
                "unknown" => ("", "counter"),
                other => ("", other),
            };
            if let Some((_, help)) = help.take().filter(|(of, _)| *of == name) {
                // The library puts a full stop behind every text.
                let help = help.strip_suffix('.').unwrap_or(help);
                text.push_str(&format!("# HELP {name}{suffix} {help}\n"));
            }
            text.push_str(&format!("# TYPE {name}{suffix} {of_type}\n"));
        } else if !line.starts_with('#') {
            text.push_str(&sample(line));
            text.push('\n');
        }
    }
    text
}

/// Bounds that are whole numbers are written so.
fn sample(line: &str) -> String {
    let Some((before, rest)) = line.split_once("le=\"") else { return line.to_owned() };
    let Some((bound, after)) = rest.split_once('"') else { return line.to_owned() };
    format!("{before}le=\"{}\"{after}", bound.strip_suffix(".0").unwrap_or(bound))
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::metrics::family::Family;
    use prometheus_client::metrics::gauge::Gauge;
    use prometheus_client::metrics::histogram::Histogram;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn metrics_read_as_upstream_prints_them() {
        let mut metrics = Registry::default();
        let (plain, counter, gauge) =
            (Family::<[(&str, &str); 1], PlainCounter>::default(), Counter::<u64>::default(), Gauge::<i64>::default());
        let sizes = Histogram::new([0.5, 2.0]);
        plain.get_or_create(&[("result", "success")]).inc();
        counter.inc_by(3);
        sizes.observe(1.0);
        metrics.register("authentication_attempts", "Counter of authenticated attempts", plain);
        metrics.register("requests", "Requests", counter);
        metrics.register("open", "Open files", gauge);
        metrics.register("sizes", "Sizes", sizes);
        let mut printed = String::new();
        encode(&mut printed, &metrics).unwrap();
        assert_eq!(
            text(&printed),
            "# HELP authentication_attempts Counter of authenticated attempts\n\
             # TYPE authentication_attempts counter\n\
             authentication_attempts{result=\"success\"} 1\n\
             # HELP requests_total Requests\n# TYPE requests_total counter\nrequests_total 3\n\
             # HELP open Open files\n# TYPE open gauge\nopen 0\n\
             # HELP sizes Sizes\n# TYPE sizes histogram\nsizes_sum 1.0\nsizes_count 1\n\
             sizes_bucket{le=\"0.5\"} 0\nsizes_bucket{le=\"2\"} 1\nsizes_bucket{le=\"+Inf\"} 1\n"
        );
    }
}
