//! Every request that golden replies can lead to, in any order, and whether there is an end.

use syncline_sdk::{Batch, CrmConnector, Outbound, Progress, Reply};

use super::encoding;
use super::interpretation::MAX_REQUESTS;
use crate::guard::guarded;
use crate::{Report, Rule, Subject};

/// The replies of all golden conversations, by the step that they answer.
pub(crate) struct Explorer {
    replies: Vec<(String, Reply)>,
}

impl Explorer {
    pub(crate) fn new<'a>(exchanges: impl Iterator<Item = &'a crate::Exchange>) -> Self {
        let mut replies = Vec::new();
        for exchange in exchanges {
            let reply = (exchange.step().to_owned(), exchange.reply());
            if !replies.contains(&reply) {
                replies.push(reply);
            }
        }
        Self { replies }
    }

    pub(crate) fn of(subject: &Subject) -> Self {
        Self::new(subject.conversations().iter().flat_map(|conversation| &conversation.exchanges))
    }

    /// Checks `first` and whatever golden replies make of it. A connector has no memory, so a
    /// request that leads back to itself would do so forever; polling, which waits, is exempt.
    pub(crate) fn explore(
        &self,
        connector: &dyn CrmConnector,
        batch: &Batch<'_>,
        first: Outbound,
        at: &str,
        report: &mut Report,
    ) {
        self.follow(connector, batch, vec![first], &mut Vec::new(), at, report);
    }

    fn follow(
        &self,
        connector: &dyn CrmConnector,
        batch: &Batch<'_>,
        path: Vec<Outbound>,
        visited: &mut Vec<Outbound>,
        at: &str,
        report: &mut Report,
    ) {
        let Some(sent) = path.last().cloned() else { return };
        encoding::check(&sent, connector.endpoint().limits, at, report);
        if path.len() > MAX_REQUESTS {
            let message = format!("golden replies led to more than {MAX_REQUESTS} requests");
            return report.fail_once(Rule::Bounded, sent.step.into(), format!("{at}, step {}", sent.step), message);
        }
        visited.push(sent.clone());
        for (_, reply) in self.replies.iter().filter(|(step, _)| step == sent.step) {
            report.count_reply();
            let next = match guarded(|| connector.resume(batch, &sent, reply)) {
                Ok(Progress::Done(_) | Progress::Split(_)) => continue,
                Ok(Progress::Call(next) | Progress::Settle(_, next)) => {
                    if path.contains(&next) {
                        let place = format!("{at}, step {}, status {}", sent.step, reply.status);
                        let message = format!("the reply leads back to the request `{}`, without an end", next.step);
                        report.fail_once(Rule::Bounded, sent.step.into(), place, message);
                        continue;
                    }
                    next
                }
                Ok(Progress::CallAfter(next, _)) => next,
                Err(panic) => {
                    let place = format!("{at}, step {}, status {}", sent.step, reply.status);
                    report.fail_once(Rule::Total, format!("golden {}", sent.step), place, panic);
                    continue;
                }
            };
            if !visited.contains(&next) {
                let mut path = path.clone();
                path.push(next);
                self.follow(connector, batch, path, visited, at, report);
            }
        }
    }
}
