//! The verdict on paper.

use std::fmt;

use super::Verdict;

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}, brokers {}, {:.0} s", self.seed, self.brokers, self.seconds)?;
        let mut table = |title: &str, rows: &mut dyn Iterator<Item = (&str, u64)>| {
            writeln!(f, "\n{title}")?;
            for (name, count) in rows {
                writeln!(f, "  {name:<40} {count:>9}")?;
            }
            Ok(())
        };
        table("Compared", &mut self.volume.iter().map(|(name, count)| (*name, *count)))?;
        table("Faults that happened", &mut self.faults.iter().map(|(name, count)| (name.as_str(), *count)))?;
        table("Allowed, and counted", &mut self.allowed.iter().map(|(name, count)| (*name, *count)))?;
        table("Violations", &mut self.violations.iter().map(|(name, count)| (*name, *count)))?;
        for example in &self.examples {
            writeln!(f, "\n! {example}")?;
        }
        writeln!(f, "\n{}", if self.holds() { "holds" } else { "DOES NOT HOLD" })
    }
}
