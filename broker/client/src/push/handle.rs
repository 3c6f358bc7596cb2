//! From the line to the last word about a message.
//!
//! Promise: a listener holds its place only while it runs: retries wait, and words to the server are repeated, without one.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tracing::debug;
use wire::v2::Code;

use super::Inner;
use super::lines::{Job, Line};
use super::listener::Consumed;
use crate::receive;
use crate::status::AskError;
use crate::transport::Link;

const AGAIN_AFTER_MIN: Duration = Duration::from_millis(100);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(1);

/// What is said to the server about a message.
#[derive(Debug, Clone, Copy)]
enum Word {
    Done,
    Hide(Duration),
    GiveUp,
}

/// Whether a message is still this client's.
#[derive(Debug, PartialEq, Eq)]
enum Ours {
    Yes,
    /// Its lease has ended, so somebody else has it or will.
    No,
}

/// Hands over whatever is next, as long as there are listeners to be had.
pub(crate) async fn begin_all(inner: Arc<Inner>) {
    while let Ok(permit) = inner.permits.clone().acquire_owned().await {
        let Some(job) = inner.lines.next().await else { return };
        let shared = inner.clone();
        let handling = async move {
            let consumed = shared.listener.call(job.message.clone()).await;
            drop(permit);
            shared.settle(&job, consumed).await.retry(&shared, job).await;
        };
        let mut begun = inner.begun.lock();
        while begun.try_join_next().is_some() {}
        begun.spawn(handling);
    }
}

/// What is left to do with a job.
enum Then {
    Nothing,
    TryAgainAfter(Duration),
}

impl Then {
    async fn retry(self, inner: &Inner, mut job: Job) {
        let Self::TryAgainAfter(rest) = self else { return };
        let mut closing = inner.closing.subscribe();
        tokio::select! {
            () = sleep(rest) => {}
            _ = closing.wait_for(|closing| *closing) => {}
        }
        job.message.attempt = job.message.attempt.saturating_add(1);
        if let Some(late) = inner.lines.again(job) {
            inner.give_back(&late).await;
        }
    }
}

impl Inner {
    async fn settle(&self, job: &Job, consumed: Consumed) -> Then {
        let guidance = self.session.guidance();
        let attempt = job.message.attempt;
        let word = match (consumed, &job.line) {
            (Consumed::Done, _) => Word::Done,
            // The server counts the attempts of these, and moves them to the dead letters.
            (Consumed::Retry, None) => Word::Hide(guidance.rest_after(attempt)),
            (Consumed::Retry, Some(_)) if attempt >= guidance.attempts_max => Word::GiveUp,
            (Consumed::Retry, Some(_)) => return Then::TryAgainAfter(guidance.rest_after(attempt)),
        };
        let ours = self.insist(job, word).await;
        match (&job.line, ours) {
            (Some(line), Ours::Yes) => self.lines.pass(line),
            (Some(line), Ours::No) => self.leave(line).await,
            (None, _) => {}
        }
        Then::Nothing
    }

    /// Those behind a message that is lost would overtake it: they go back, and come again in order.
    async fn leave(&self, line: &Line) {
        for job in self.lines.leave(line) {
            self.give_back(&job).await;
        }
    }

    /// Lets others have a message; if that cannot be said, they get it when the lease ends.
    pub(crate) async fn give_back(&self, job: &Job) {
        let link = &job.message.link;
        if let Err(error) = self.say(link, job, Word::Hide(Duration::ZERO)).await {
            debug!(message_id = job.message.message_id, %error, "message is not given back");
        }
    }

    /// Repeats a word until a server takes it.
    async fn insist(&self, job: &Job, word: Word) -> Ours {
        let mut pause = AGAIN_AFTER_MIN;
        let mut failures = 0;
        loop {
            let link = self.session.way(&job.message.topic, &job.message.link, failures);
            let Err(error) = self.say(&link, job, word).await else { return Ours::Yes };
            if let AskError::Refused(refused) = &error
                && refused.code() == Some(Code::InvalidReceiptHandle)
            {
                return Ours::No;
            }
            debug!(message_id = job.message.message_id, ?word, %error, "is said again");
            failures += 1;
            sleep(pause).await;
            pause = (pause * 2).min(AGAIN_AFTER_MAX);
        }
    }

    async fn say(&self, link: &Link, job: &Job, word: Word) -> Result<(), AskError> {
        let message = &job.message;
        let topic = self.session.resource(&message.topic);
        match word {
            Word::Done => {
                let results = receive::ack(link, &self.group, topic, std::slice::from_ref(message)).await?;
                results.into_iter().next().map_or(Ok(()), |result| result.map_err(AskError::Refused))
            }
            Word::Hide(time) => {
                receive::hide(link, &self.group, topic, message, time).await.map(|_new_handle| ())
            }
            Word::GiveUp => {
                let attempts_max = self.session.guidance().attempts_max;
                receive::give_up(link, &self.group, topic, message, attempts_max).await
            }
        }
    }
}
