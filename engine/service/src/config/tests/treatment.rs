//! How a destination is treated.

use super::super::model::OnOutage;
use super::{FILE, refused, with_file};

#[test]
fn how_a_destination_is_treated() {
    let treated = |text: &str| with_file(&FILE.replace("concurrency = 3", text), []);
    let config = treated(
        r#"concurrency = { min = 2, max = 20 }
on_outage = "dead_letter"
linger = "20ms"
breaker = { window_s = 60, minimum = 10, failure_rate = "80%", probes = 3 }

[destinations.limits]
requests_per_second = 2.5
reserve = "20%"
retry_budget = "off"
quotas = [
    { requests = 5000, per = "hour", by_clock = true },
    { name = "burst", requests = 100, per = "10s", reserve = "0%" },
]
"#,
    )
    .unwrap();
    let shown = format!("{:?}", crate::assemble::destination(&config.destinations[0], OnOutage::Pause));
    for part in [
        "Adaptive { min: 2, max: 20 }",
        "per_second: 2.5, burst: 2",
        r#"name: "hour", requests: 5000, window: 3600s, aligned: true, reserve: 0.2"#,
        r#"name: "burst", requests: 100, window: 10s, aligned: false, reserve: 0.0"#,
        "window: 60s, minimum: 10, failure_rate: 0.8, probes: 3",
        "on_outage: DeadLetter",
        "linger: 20ms",
        "retry_budget: None",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let policy = crate::commands::policy(&config).join("\n");
    assert!(policy.contains("2 to 20 at a time"), "{policy}");
    assert!(policy.contains("at most 2.5 requests a second, 5000 requests per hour, 100 requests per 10s"), "{policy}");
    for (text, parts) in [
        ("concurrency = { max = 0 }", &["concurrency.max: too small"][..]),
        ("concurrency = { min = 9, max = 3 }", &["destinations[0]", "its bounds in order"]),
        ("limits = { burst = 3 }", &["destinations[0].limits.burst", "belongs to `requests_per_second`"]),
        ("limits = { reserve = \"120%\" }", &["destinations[0].limits.reserve", "whole percentage"]),
        ("limits = { reserve = \"97%\" }", &["destinations[0]", "from 0 to 95 %"]),
        ("limits = { quotas = [{ requests = 1, per = \"fortnight\" }] }", &["quotas[0].per", "`hour`"]),
        ("limits = { quotas = [{ per = \"hour\" }] }", &["the key `requests` is missing"]),
        ("limits = { quota = [] }", &["destinations[0].limits.quota", "did you mean `quotas`?"]),
        (
            "limits = { quotas = [{ requests = 1, per = \"hour\" }, { requests = 2, per = \"hour\" }] }",
            &["quotas need different names"],
        ),
        ("linger = \"1h\"", &["destinations[0].linger", "0ms"]),
        ("breaker = { probes = 0 }", &["destinations[0].breaker.probes: too small"]),
    ] {
        refused(treated(text), parts);
    }
}
