//! A connector's questions about the CRM's set-up, in rounds: a pure state machine.

use syncline_sdk::{Answered, CrmConnector, Examination as Asked, Finding, Outbound, Reply};

use super::{is_read, panicked};
use crate::core::guarded;
use crate::transport::TransportFault;

/// Asks a connector what it wants to know, until it has found out or has asked too much.
#[derive(Debug)]
pub struct Examination<'a> {
    connector: &'a dyn CrmConnector,
    answered: Vec<Answered>,
    /// What is still to be asked of this round, the next one last.
    open: Vec<Outbound>,
    rounds: usize,
}

/// What an examination wants next.
#[derive(Debug, Clone, PartialEq)]
pub enum Inquiry {
    /// The answer to this read.
    Ask(Outbound),
    /// Nothing more: this was found.
    End(Vec<Finding>),
}

/// Rounds of questions at the most.
const MOST_ROUNDS: usize = 16;
/// Questions of all rounds at the most.
const MOST_QUESTIONS: usize = 256;

const SUBJECT: &str = "examination";

impl<'a> Examination<'a> {
    /// Begins.
    pub fn begin(connector: &'a dyn CrmConnector) -> (Self, Inquiry) {
        let mut examination = Self { connector, answered: Vec::new(), open: Vec::new(), rounds: 0 };
        let inquiry = examination.next_round();
        (examination, inquiry)
    }

    /// Goes on after the answer to what was asked last.
    pub fn replied(&mut self, reply: Reply) -> Inquiry {
        if let Some(asked) = self.open.pop() {
            self.answered.push(Answered { asked, reply });
        }
        match self.open.last() {
            Some(next) => Inquiry::Ask(next.clone()),
            None => self.next_round(),
        }
    }

    /// Ends it, as there is no answer.
    pub fn faulted(&mut self, fault: &TransportFault) -> Inquiry {
        let asked = self.open.last().map(|asked| asked.step).unwrap_or_default();
        self.open.clear();
        let message = format!("the CRM's set-up couldn't be looked at any further: `{asked}` got no answer: {fault}");
        end(Finding::wrong(SUBJECT, message, "See how the CRM and the network are doing, then try again."))
    }

    fn next_round(&mut self) -> Inquiry {
        let mut wanted = match guarded(|| self.connector.examine(&self.answered)) {
            Ok(Asked::Done(findings)) => return Inquiry::End(findings),
            Ok(Asked::Ask(wanted)) => wanted,
            Err(message) => return faulty(panicked(message).message),
        };
        self.rounds += 1;
        if self.rounds > MOST_ROUNDS || self.answered.len() + wanted.len() > MOST_QUESTIONS {
            return faulty(format!(
                "the connector had not found out after {MOST_ROUNDS} rounds or {MOST_QUESTIONS} requests"
            ));
        }
        if let Some(write) = wanted.iter().find(|request| !is_read(request)) {
            let method = write.method.as_str();
            return faulty(format!("the connector asked for `{}`, a {method}, which isn't sent", write.step));
        }
        wanted.reverse();
        self.open = wanted;
        match self.open.last() {
            Some(next) => Inquiry::Ask(next.clone()),
            None => faulty("the connector asked for nothing, and found nothing".to_owned()),
        }
    }
}

fn faulty(message: String) -> Inquiry {
    end(Finding::warning(SUBJECT, message, "Report it: it is a connector's fault."))
}

fn end(finding: Finding) -> Inquiry {
    Inquiry::End(vec![finding])
}
