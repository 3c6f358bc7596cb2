//! Questions to clients over their telemetry streams, and who waits for the answers.
//!
//! ```text
//!   ask ──nonce 7──▶ client's outbox ··· frame of the client with nonce 7 ──▶ whoever asked
//!        \ Answered is dropped, the stream ends, or time is over: forgotten
//! ```
//!
//! Promise: an answer is taken only from the stream that was asked; a question is forgotten when nobody waits any more.
//! Limit: `QUESTIONS_MAX` at a time.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use wire::v2::telemetry_command::Command;
use wire::v2::{self, Code};

use crate::refusal::Refusal;

const QUESTIONS_MAX: usize = 1024;

/// The questions of a gateway.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    last: u64,
    waiting: HashMap<u64, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    stream: u64,
    tell: oneshot::Sender<Told>,
}

/// What a client answered.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) status: Option<v2::Status>,
    pub(super) answer: Answer,
}

/// The shape of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Stack traces, if it has any.
    Trace(Option<String>),
    /// It tried a message; the status tells how that went.
    Verdict,
    /// The question itself: how one SDK says that it does not know what it was asked.
    Echo,
}

/// The answer to come; dropping it forgets the question.
pub(super) struct Answered<'a> {
    questions: &'a Questions,
    nonce: u64,
    told: oneshot::Receiver<Told>,
}

impl Questions {
    /// A question to the client behind this stream.
    pub(super) fn ask(&self, stream: u64) -> Result<Answered<'_>, Refusal> {
        let mut table = self.table.lock();
        if table.waiting.len() >= QUESTIONS_MAX {
            let text = format!("{QUESTIONS_MAX} questions to clients wait for answers, which is the limit");
            return Err(Refusal::new(Code::TooManyRequests, text));
        }
        table.last += 1;
        let (nonce, (tell, told)) = (table.last, oneshot::channel());
        table.waiting.insert(nonce, Waiting { stream, tell });
        Ok(Answered { questions: self, nonce, told })
    }

    /// A frame that came over a stream; it may answer a question.
    pub(crate) fn answered(&self, stream: u64, status: Option<v2::Status>, command: Command) {
        let (nonce, answer) = match command {
            Command::ThreadStackTrace(trace) => (trace.nonce, Answer::Trace(trace.thread_stack_trace)),
            Command::VerifyMessageResult(result) => (result.nonce, Answer::Verdict),
            Command::VerifyMessageCommand(echo) => (echo.nonce, Answer::Echo),
            Command::Settings(_)
            | Command::RecoverOrphanedTransactionCommand(_)
            | Command::PrintThreadStackTraceCommand(_)
            | Command::ReconnectEndpointsCommand(_)
            | Command::NotifyUnsubscribeLiteCommand(_) => return,
        };
        let Ok(nonce) = nonce.parse::<u64>() else { return };
        let mut table = self.table.lock();
        if table.waiting.get(&nonce).is_some_and(|waiting| waiting.stream == stream)
            && let Some(waiting) = table.waiting.remove(&nonce)
        {
            // Whoever asked may have gone.
            let _ = waiting.tell.send(Told { status, answer });
        }
    }

    /// Nothing comes over this stream any more.
    pub(crate) fn stream_ended(&self, stream: u64) {
        self.table.lock().waiting.retain(|_, waiting| waiting.stream != stream);
    }
}

impl Answered<'_> {
    pub(super) fn nonce(&self) -> String {
        self.nonce.to_string()
    }

    /// The answer; `None`: the client's stream ended.
    pub(super) async fn told(&mut self) -> Option<Told> {
        (&mut self.told).await.ok()
    }
}

impl Drop for Answered<'_> {
    fn drop(&mut self) {
        self.questions.table.lock().waiting.remove(&self.nonce);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(nonce: &str) -> Command {
        let thread_stack_trace = Some("main".to_owned());
        Command::ThreadStackTrace(v2::ThreadStackTrace { nonce: nonce.to_owned(), thread_stack_trace })
    }

    #[tokio::test]
    async fn an_answer_counts_from_the_stream_that_was_asked_and_once() {
        let questions = Questions::default();
        let mut asked = questions.ask(5).unwrap();
        let nonce = asked.nonce();
        questions.answered(6, None, trace(&nonce));
        questions.answered(5, None, trace("none"));
        questions.answered(5, None, trace(&nonce));
        let answer = asked.told().await.map(|told| told.answer);
        assert_eq!(answer, Some(Answer::Trace(Some("main".to_owned()))));
        questions.answered(5, None, trace(&nonce));
    }

    #[tokio::test]
    async fn the_end_of_a_stream_ends_the_wait() {
        let questions = Questions::default();
        let mut asked = questions.ask(5).unwrap();
        questions.stream_ended(5);
        assert!(asked.told().await.is_none());
    }

    #[test]
    fn questions_over_the_limit_are_refused_and_forgotten_ones_make_room() {
        let questions = Questions::default();
        let mut asked: Vec<_> =
            (0..QUESTIONS_MAX as u64).map(|stream| questions.ask(stream).unwrap()).collect();
        assert_eq!(questions.ask(0).err().map(|refusal| refusal.code), Some(Code::TooManyRequests));
        asked.pop();
        assert!(questions.ask(0).is_ok());
    }
}
