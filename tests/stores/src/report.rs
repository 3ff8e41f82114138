//! The table and the JSON.

use serde::{Deserialize, Serialize};

use crate::measure::{Checked, Expired, Written};
use crate::{Claims, Failure, Setting};

#[derive(Serialize, Deserialize, Default)]
pub(crate) struct Report {
    pub(crate) library: String,
    pub(crate) written: Written,
    pub(crate) after_kill: Opened,
    pub(crate) after_kill_again: Opened,
    /// Each time that a writer was killed and its store opened again.
    pub(crate) kills: Outcomes,
    /// For so long nothing had become durable when a writer was killed, at most.
    pub(crate) longest_silence_ms: f64,
    pub(crate) expired: Option<Expired>,
    /// The first so many of the last batch's sectors have reached the disk.
    pub(crate) torn_in_order: Outcomes,
    /// Any of the last batch's sectors have reached the disk.
    pub(crate) torn_at_random: Outcomes,
    /// A bit is wrong in the last batch, which doesn't count as durable.
    pub(crate) flipped_last: Outcomes,
    /// A bit is wrong in a batch that was durable long ago.
    pub(crate) flipped_earlier: Outcomes,
    pub(crate) while_in_use: Opened,
    /// The store's own file holds a text.
    pub(crate) foreign_file: Option<Opened>,
    /// The folder holds a text.
    pub(crate) foreign_folder: Opened,
    pub(crate) newer: Option<Opened>,
}

#[derive(Serialize, Deserialize)]
pub(crate) enum Opened {
    Yes(Checked),
    No(String),
}

#[derive(Serialize, Deserialize, Default)]
pub(crate) struct Outcomes {
    /// Everything durable is there.
    intact: u64,
    /// It doesn't open, and says why.
    refused: u64,
    panicked: u64,
    /// It opens and has lost something durable.
    lost: u64,
    /// It opens and serves what nobody has written.
    garbage: u64,
    examples: Vec<String>,
}

impl Default for Opened {
    fn default() -> Self {
        Self::No("not tried".to_owned())
    }
}

impl Report {
    pub(crate) fn print_json(&self) -> Result<(), Failure> {
        println!("{}", serde_json::to_string(self)?);
        Ok(())
    }
}

impl Outcomes {
    pub(crate) fn count(&mut self, opened: Opened) {
        let example = match &opened {
            Opened::No(words) if words.contains("panicked") => {
                self.panicked += 1;
                words.clone()
            }
            Opened::No(words) => {
                self.refused += 1;
                words.clone()
            }
            Opened::Yes(checked) if checked.is_intact() => {
                self.intact += 1;
                return;
            }
            Opened::Yes(checked) if checked.garbage + checked.invented > 0 => {
                self.garbage += 1;
                format!("{} garbage", checked.garbage + checked.invented)
            }
            Opened::Yes(checked) => {
                self.lost += 1;
                format!("{} lost of {}", checked.lost, checked.checked)
            }
        };
        if self.examples.len() < 5 && !self.examples.contains(&example) {
            self.examples.push(example);
        }
    }

    fn text(&self) -> String {
        let counts = [
            (self.intact, "intact"),
            (self.refused, "refused"),
            (self.panicked, "panicked"),
            (self.lost, "lost"),
            (self.garbage, "garbage"),
        ];
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        counts.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
    }
}

impl Opened {
    fn text(&self) -> String {
        match self {
            Self::Yes(checked) if checked.checked > 0 && !checked.is_intact() => {
                format!("{:.0} ms, {} lost, {} garbage", checked.open_ms, checked.lost, checked.garbage)
            }
            Self::Yes(checked) if checked.checked > 0 => format!("{:.0} ms, intact", checked.open_ms),
            Self::Yes(_) => "opens".to_owned(),
            Self::No(words) => words.clone(),
        }
    }
}

pub(crate) fn print_table(reports: &[Report], setting: &Setting) {
    let claims = if setting.claims == Claims::Stored { "stored" } else { "in memory" };
    println!(
        "{} keys, batches of {}, {} in flight, claims {claims}, cache {} MiB\n",
        setting.keys, setting.batch, setting.in_flight, setting.cache_mib
    );
    println!("| |{}", reports.iter().map(|report| format!(" {} |", report.library)).collect::<String>());
    println!("|---|{}", "---|".repeat(reports.len()));
    let row = |name: &str, cell: &dyn Fn(&Report) -> String| {
        println!("| {name} |{}", reports.iter().map(|report| format!(" {} |", cell(report))).collect::<String>());
    };
    row("new keys a second", &|report| format!("{:.0}", report.written.keys_per_second));
    row("the same, slowest tenth", &|report| format!("{:.0}", report.written.keys_per_second_slowest_tenth));
    row("a batch, p50 / p99 / longest, ms", &|report| {
        let written = &report.written;
        format!("{:.1} / {:.1} / {:.0}", written.batch_p50_ms, written.batch_p99_ms, written.batch_max_ms)
    });
    row("CPU µs a key", &|report| format!("{:.1}", report.written.cpu_us_per_key));
    row("peak RSS, MiB", &|report| format!("{:.0}", report.written.peak_rss_mib));
    row("disk bytes a key", &|report| format!("{:.0}", report.written.disk_bytes_per_key));
    row("open after kill -9", &|report| report.after_kill.text());
    row("peak RSS of that, MiB", &|report| match &report.after_kill {
        Opened::Yes(checked) => format!("{:.0}", checked.open_peak_rss_mib),
        Opened::No(_) => String::new(),
    });
    row("and once more", &|report| report.after_kill_again.text());
    row("killed again and again", &|report| report.kills.text());
    row("longest silence before a kill, ms", &|report| format!("{:.0}", report.longest_silence_ms));
    row("disk MiB after 1, 2, 3 TTLs", &|report| {
        let disk = report.expired.iter().flat_map(|expired| &expired.disk_mib_after_each_ttl);
        disk.map(|mib| format!("{mib:.0}")).collect::<Vec<_>>().join(", ")
    });
    row("disk MiB when all has expired", &|report| {
        report.expired.as_ref().map_or(String::new(), |expired| format!("{:.0}", expired.disk_mib_at_last))
    });
    row("longest batch meanwhile, ms", &|report| {
        report.expired.as_ref().map_or(String::new(), |expired| format!("{:.0}", expired.batch_max_ms))
    });
    row("torn write, sectors in order", &|report| report.torn_in_order.text());
    row("torn write, any sectors", &|report| report.torn_at_random.text());
    row("a bit flipped in the last batch", &|report| report.flipped_last.text());
    row("a bit flipped in an older one", &|report| report.flipped_earlier.text());
    row("in use by another process", &|report| report.while_in_use.text());
    row("a foreign file in its place", &|report| report.foreign_file.as_ref().map_or(String::new(), Opened::text));
    row("a folder with a foreign file", &|report| report.foreign_folder.text());
    row("written by a newer version", &|report| report.newer.as_ref().map_or(String::new(), Opened::text));
}
