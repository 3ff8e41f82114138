//! One run: bring all of it up, produce, make chaos, let it calm down, and write down what was.

mod chaos;
mod deck;
mod kafka;
mod log;
mod member;
mod proxy;
mod record;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use syncline_fakes::servicenow::{Fault, Options, Rule, ServiceNow};
use tokio::time::Instant;

use self::kafka::{Brokers, DLQ, DLQ_PARTITIONS, Sampler, TOPIC};
use self::log::Log;
use self::member::{Place, SESSION, Shared, TIMEOUT};
use crate::event::{REFUSED, events};
use crate::recording::{About, Enough, Recording};

/// The shipped service under chaos, on a real Kafka.
#[derive(Debug, Clone, Parser)]
#[command(name = "chaos")]
pub struct Arguments {
    /// Events to produce.
    #[arg(long, default_value_t = 50_000)]
    events: u64,
    /// How long to produce and make chaos.
    #[arg(long, default_value_t = 240)]
    seconds: u64,
    /// What the events and the chaos follow from; the time by default.
    #[arg(long)]
    seed: Option<u64>,
    /// One broker, or three with three replicas.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=5))]
    brokers: u32,
    /// Service processes to start and to end with; there may be one more meanwhile.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=9))]
    members: u8,
    /// Partitions of the topic.
    #[arg(long, default_value_t = 12)]
    partitions: i32,
    /// How long everything may take to calm down afterwards.
    #[arg(long, default_value_t = 150)]
    calm_seconds: u64,
    /// The service: `servicenow-service` beside this program by default.
    #[arg(long)]
    service: Option<PathBuf>,
    /// Where to leave the recording, the brokers' and the service's logs.
    #[arg(long, default_value = "target/chaos")]
    folder: PathBuf,
    /// Leave it there even when the verdict holds.
    #[arg(long)]
    pub keep: bool,
    /// Where to write the verdict as JSON.
    #[arg(long)]
    pub report: Option<PathBuf>,
    /// Let so many late writes of suspended members pass; they are counted in any case.
    #[arg(long, default_value_t = 0)]
    zombies: u64,
    /// Don't tell what is being done.
    #[arg(long)]
    quiet: bool,
}

impl Arguments {
    /// Where a run has left its recording and logs.
    pub fn run_folder(&self, recording: &Recording) -> PathBuf {
        self.folder_of(recording.about.seed)
    }

    fn folder_of(&self, seed: u64) -> PathBuf {
        self.folder.join(format!("seed-{seed}-brokers-{}", self.brokers))
    }
}

/// How long everything is left alone at first, so that the group forms.
const QUIET: Duration = Duration::from_secs(3);

/// Makes a run, and gives what was recorded.
///
/// # Panics
/// When something of the harness itself doesn't work.
pub async fn run(arguments: &Arguments) -> Recording {
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    eprintln!("seed {seed}");
    let folder = arguments.folder_of(seed);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).expect("the last run's folder can be removed");
    }
    std::fs::create_dir_all(folder.join("members")).expect("a folder");
    let folder = folder.canonicalize().expect("a folder");
    let log = Arc::new(Log::new(arguments.quiet));
    let brokers = Arc::new(Brokers::start(folder.join("kafka"), arguments.brokers).await);
    log.say(&format!("brokers at {}, proxied {}", brokers.bootstrap, brokers.proxied));
    let crm = Arc::new(ServiceNow::start(Options::default()).await.expect("the fake CRM starts"));
    crm.add_rule(Rule::new(Fault::status(400)).writes().body_contains(REFUSED));
    brokers.create_topics(arguments.partitions).await;
    let scene = Scene { arguments, seed, folder: &folder, log, brokers, crm };
    let recording = scene.play().await;
    recording.save(&folder.join("recording")).expect("the recording is written");
    recording
}

struct Scene<'a> {
    arguments: &'a Arguments,
    seed: u64,
    folder: &'a Path,
    log: Arc<Log>,
    brokers: Arc<Brokers>,
    crm: Arc<ServiceNow>,
}

impl Scene<'_> {
    async fn play(self) -> Recording {
        let (log, partitions) = (&self.log, self.arguments.partitions);
        let binary = self.arguments.service.clone().unwrap_or_else(beside);
        let shared = Shared::new(log, &self.crm, &self.brokers, binary, &self.folder.join("members"));
        let sampler = self.brokers.sampler(Arc::clone(log), partitions);
        let events = events(self.seed, self.arguments.events);
        let members = usize::from(self.arguments.members);
        let mut places = Vec::new();
        for number in 1..=members + 1 {
            places.push(Place::new(number, &shared).await);
        }
        places.iter_mut().take(members).for_each(|place| place.start(&shared));
        let over = Duration::from_secs(self.arguments.seconds);
        let (places, ()) = tokio::join!(self.chaos(places, &shared, over), self.produce(&events, over));
        log.say("calm");
        let drained = self.drain(&sampler).await;
        for mut place in places {
            if let Some(status) = place.stop(&shared, "member stopped at the end").await {
                log.say(&format!("{status}"));
            }
        }
        let mut recording = Recording { events, faults: log.faults(), ..Recording::default() };
        recording.samples = sampler.finish();
        let topic = self.brokers.read(TOPIC, partitions, "").await;
        recording.topic = topic.into_iter().map(|(record, _)| record).collect();
        recording.letters = record::letters(self.brokers.read(DLQ, DLQ_PARTITIONS, "syncline.failure").await);
        record::crm(&self.crm, log, &mut recording);
        recording.about = self.about(drained);
        recording
    }

    async fn chaos(&self, places: Vec<Place>, shared: &Shared, over: Duration) -> Vec<Place> {
        let end = Instant::now() + over;
        tokio::time::sleep(QUIET).await;
        let (log, seed) = (&self.log, self.seed);
        let wires = places.iter().map(|place| Arc::clone(&place.wire)).collect();
        let (places, (), (), ()) = tokio::join!(
            chaos::members(places, shared.clone(), seed ^ 1, end),
            chaos::crm(Arc::clone(&self.crm), Arc::clone(log), seed ^ 2, end),
            chaos::crm_wires(wires, Arc::clone(log), seed ^ 3, end),
            chaos::brokers(Arc::clone(&self.brokers), Arc::clone(log), seed ^ 4, end),
        );
        places
    }

    async fn produce(&self, events: &[crate::event::Event], over: Duration) {
        self.brokers.produce(events, self.arguments.partitions, over).await;
        self.log.say("everything is produced");
    }

    /// Waits until everything is consumed; false when that takes too long.
    async fn drain(&self, sampler: &Sampler) -> bool {
        let ends = self.brokers.ends(TOPIC, self.arguments.partitions).await;
        let mut seen = sampler.seen.clone();
        let all = seen.wait_for(|committed| *committed == ends);
        let drained = tokio::time::timeout(Duration::from_secs(self.arguments.calm_seconds), all).await.is_ok();
        self.log.say(&format!("drained: {drained}; ends {ends:?}, committed {:?}", *sampler.seen.borrow()));
        drained
    }

    fn about(&self, drained: bool) -> About {
        let Arguments { events, seconds, brokers, partitions, .. } = *self.arguments;
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).expect("a few seconds");
        let enough = Enough {
            events,
            samples: seconds * 2,
            pairs: events / 2,
            hand_overs: seconds / 6,
            kills: seconds / 60,
            kinds: chaos::kinds(brokers),
            each_kind: 1,
            zombies: self.arguments.zombies,
        };
        About {
            seed: self.seed,
            brokers,
            partitions,
            seconds: self.log.began.elapsed().as_secs_f64(),
            drained,
            session: micros(SESSION),
            timeout: micros(TIMEOUT),
            enough,
        }
    }
}

fn beside() -> PathBuf {
    std::env::current_exe().expect("this program").with_file_name("servicenow-service")
}
