//! Asks a CRM, and never writes: whatever isn't a read is refused before anything is sent.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use syncline_sdk::{CrmConnector, Event, Finding, Method, Outbound, Reason, Reply};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{Examination, Inquiry, Obstacle, Rehearsal, Rehearsed, Step, is_read};
use crate::runtime::LaneRuntime;
use crate::transport::{FaultKind, HttpRequest, Sent, TransportFault};

/// Sends reads to one destination, with its credentials and cookies, one at a time and no faster than its
/// configured rate. Quotas and what replies say about limits aren't counted.
pub struct Reader {
    lane: LaneRuntime,
    connector: Arc<dyn CrmConnector>,
    /// Between two requests.
    spacing: Duration,
    /// When the next request may be sent. Held while one is under way.
    next: Mutex<Instant>,
}

/// A connector's wish to wait is granted up to this. Nobody looks at a plan for longer.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("destination", &self.lane.destination).finish_non_exhaustive()
    }
}

impl Reader {
    pub(crate) fn new(lane: LaneRuntime, connector: Arc<dyn CrmConnector>, per_second: Option<f64>) -> Self {
        let spacing = per_second.and_then(|rate| Duration::try_from_secs_f64(rate.recip()).ok());
        Self { lane, connector, spacing: spacing.unwrap_or_default(), next: Mutex::new(Instant::now()) }
    }

    /// The destination's name.
    #[must_use]
    pub fn destination(&self) -> &str {
        &self.lane.destination
    }

    /// Sends a read, and gives the answer of whatever status.
    ///
    /// # Errors
    /// [`TransportFault`] when there is no complete reply. One of the kind [`FaultKind::Request`], for anything
    /// but a GET that is safe to repeat: that isn't sent.
    pub async fn get(&self, read: &Outbound) -> Result<Reply, TransportFault> {
        if !is_read(read) {
            let message = format!("`{}` is no read that is safe to repeat, and isn't sent", read.step);
            return Err(TransportFault { sent: Sent::Unsent, kind: FaultKind::Request, message });
        }
        let mut next = self.next.lock().await;
        tokio::time::sleep_until(*next).await;
        *next = Instant::now() + self.spacing;
        self.lane.exchange(read, 0, || Ok(())).await
    }

    /// Asks for the base URL itself, without credentials: any answer shows that someone is there.
    ///
    /// # Errors
    /// [`TransportFault`] when there is no complete reply.
    pub async fn reach(&self) -> Result<Reply, TransportFault> {
        let request = HttpRequest {
            method: Method::Get,
            url: format!("{}/", self.lane.base_url),
            headers: Vec::new(),
            credential: None,
            body: None,
            timeout: self.lane.timeout,
        };
        self.lane.transport.send(request).await
    }

    /// Gets what authenticates requests, from a token endpoint where there is one.
    ///
    /// # Errors
    /// [`TransportFault`] of the kind `Credentials`, `CredentialsRefused` or `TokenEndpoint`.
    pub async fn sign_in(&self) -> Result<(), TransportFault> {
        self.lane.credential(0).await.map(drop)
    }

    /// Goes through the conversation about an accepted event up to its first write, which isn't sent.
    pub async fn rehearse(&self, event: &Event) -> Rehearsed {
        let (mut rehearsal, mut step) = Rehearsal::begin(self.connector.as_ref(), event);
        loop {
            step = match step {
                Step::End(rehearsed) => return rehearsed,
                Step::Ask(_, after) if after > LONGEST_WAIT => {
                    let message = format!("the connector wants to wait for {} s", after.as_secs());
                    return Rehearsed::Undetermined {
                        reason: Reason::new("try_later", message),
                        obstacle: Obstacle::Event,
                    };
                }
                Step::Ask(read, after) => {
                    tokio::time::sleep(after).await;
                    match self.get(&read).await {
                        Ok(reply) => rehearsal.replied(&reply),
                        Err(fault) => rehearsal.faulted(&fault),
                    }
                }
            }
        }
    }

    /// Whether the CRM is set up for what the configuration wants of it, as the connector finds out.
    pub async fn examine(&self) -> Vec<Finding> {
        let (mut examination, mut inquiry) = Examination::begin(self.connector.as_ref());
        loop {
            inquiry = match inquiry {
                Inquiry::End(findings) => return findings,
                Inquiry::Ask(read) => match self.get(&read).await {
                    Ok(reply) => examination.replied(reply),
                    Err(fault) => examination.faulted(&fault),
                },
            }
        }
    }
}
