//! How many new keys a second a state store takes: each is claimed and completed, in batches, several of them
//! under way as in production.
//!
//! ```sh
//! cargo bench -p syncline-engine --bench stores                # the stores of one process
//! KEYS=1000000 BATCH=100 UNDER_WAY=8 cargo bench -p syncline-engine --bench stores
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use syncline_engine::core::DeliveryId;
use syncline_engine::record::TopicPartition;
use syncline_engine::state::{
    Claim, ClaimRequest, Completion, EmbeddedOptions, EmbeddedStore, Ending, MemoryStore, StateStore, Token,
    fingerprint,
};
use syncline_sdk::Event;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (keys, batch, under_way) = (number("KEYS", 300_000), number("BATCH", 100), number("UNDER_WAY", 8));
    println!("{keys} keys in batches of {batch}, {under_way} under way");
    measure("memory", Arc::new(MemoryStore::default()), keys, batch, under_way).await?;
    let folder = tempfile::tempdir()?;
    let store = EmbeddedStore::open(EmbeddedOptions::new(folder.path().join("state")))?;
    measure("embedded", Arc::new(store), keys, batch, under_way).await
}

async fn measure(
    name: &str,
    store: Arc<dyn StateStore>,
    keys: u64,
    batch: u64,
    under_way: u64,
) -> Result<(), Box<dyn std::error::Error>> {
    let token = store.token().await?;
    let next = Arc::new(AtomicU64::new(0));
    let (start, cpu) = (Instant::now(), cpu_time());
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..under_way {
        let (store, next) = (Arc::clone(&store), Arc::clone(&next));
        workers.spawn(async move {
            let mut longest = Duration::ZERO;
            loop {
                let from = next.fetch_add(batch, Ordering::Relaxed);
                if from >= keys {
                    return Ok::<_, String>(longest);
                }
                let requests = (from..(from + batch).min(keys)).map(|key| request(key, token));
                let requests = requests.collect::<Result<Vec<_>, _>>()?;
                let began = Instant::now();
                let claims = store.claim(&requests).await.map_err(|error| error.to_string())?;
                if !claims.iter().all(|claim| matches!(claim, Claim::Granted(_))) {
                    return Err("a new key was not granted".to_owned());
                }
                let completions: Vec<_> = requests.iter().map(completion).collect();
                store.complete(&completions).await.map_err(|error| error.to_string())?;
                longest = longest.max(began.elapsed());
            }
        });
    }
    let mut longest = Duration::ZERO;
    while let Some(worker) = workers.join_next().await {
        longest = longest.max(worker??);
    }
    let (elapsed, cpu) = (start.elapsed(), cpu_time().saturating_sub(cpu));
    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    let (per_second, cpu_each) = (keys as f64 / elapsed.as_secs_f64(), cpu.as_secs_f64() * 1e6 / keys as f64);
    println!("{name:>10}: {per_second:>9.0} keys/s  {cpu_each:>6.1} µs of CPU each  longest batch {longest:.0?}");
    Ok(())
}

fn request(key: u64, token: Token) -> Result<ClaimRequest, String> {
    let json = format!(
        r#"{{"event_id":"e","idempotency_key":"5fd42ba7-8870-589e-b35f-{key:012x}","entity":{{"type":"customer","id":"b99f5f46-ee92-4f2b-bb6a-{:012x}","version":{key}}}}}"#,
        key / 3
    );
    let event = Arc::new(Event::from_slice(json.as_bytes()).map_err(|error| error.message)?);
    Ok(ClaimRequest {
        delivery: DeliveryId(key),
        destination: "crm-prod".into(),
        event,
        partition: TopicPartition::new("internal.customer.events", 0),
        token,
    })
}

fn completion(request: &ClaimRequest) -> Completion {
    Completion {
        delivery: request.delivery,
        destination: Arc::clone(&request.destination),
        event: Arc::clone(&request.event),
        partition: request.partition.clone(),
        token: request.token,
        ending: Ending::Applied {
            remote_id: Some("46d44a5dc0a8010e0000000000000000".to_owned()),
            fingerprint: fingerprint(&request.event),
        },
    }
}

/// Of this process, from the kernel.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = fields.iter().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}
