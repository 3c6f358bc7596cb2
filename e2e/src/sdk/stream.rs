//! A program that sends and receives, perhaps until it is told to stop, while the test disturbs the broker.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::sdk::report::Report;
use crate::wait;

/// A running stream.
#[derive(Debug)]
pub struct Stream {
    child: Child,
    output: ChildStdout,
    acknowledged: Arc<AtomicU64>,
    received: Arc<AtomicU64>,
    /// What the program said last.
    said: Arc<Mutex<VecDeque<String>>>,
}

/// So many lines of a program are shown when its test fails.
const LAST_LINES: usize = 20;

impl Stream {
    /// Starts the program and follows its progress.
    pub fn start(mut command: Command) -> Result<Self> {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("e2e/sdk/run.sh")?;
        let output = child.stdout.take().context("stdout")?;
        let progress = child.stderr.take().context("stderr")?;
        let (acknowledged, received) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let said = Arc::<Mutex<VecDeque<String>>>::default();
        let (sent, seen, heard) = (Arc::clone(&acknowledged), Arc::clone(&received), Arc::clone(&said));
        std::thread::spawn(move || {
            for line in BufReader::new(progress).lines().map_while(Result::ok) {
                for (name, count) in [("acknowledged=", &sent), ("received=", &seen)] {
                    let text = line.split_once(name).and_then(|(_, rest)| rest.split(' ').next());
                    if let Some(told) = text.and_then(|text| text.parse().ok()) {
                        count.store(told, Ordering::Relaxed);
                    }
                }
                let mut heard = heard.lock().expect("nobody panics with it");
                heard.push_back(line);
                if heard.len() > LAST_LINES {
                    heard.pop_front();
                }
            }
        });
        Ok(Self { child, output, acknowledged, received, said })
    }

    /// Messages received so far, as of the last progress line.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Waits until `more` messages have been received from now on.
    ///
    /// # Panics
    /// When they do not come within `limit`.
    pub fn flows(&self, more: u64, limit: Duration) {
        self.reaches(self.received() + more, limit);
    }

    /// Waits until `total` messages have been received since the start.
    ///
    /// # Panics
    /// When they do not come within `limit`.
    pub fn reaches(&self, total: u64, limit: Duration) {
        wait::until(&format!("{total} messages"), limit, || (self.received() >= total).then_some(()));
    }

    /// Waits until the sends of `total` messages have been acknowledged.
    ///
    /// # Panics
    /// When they are not within `limit`.
    pub fn sends(&self, total: u64, limit: Duration) {
        let acknowledged = || self.acknowledged.load(Ordering::Relaxed);
        wait::until(&format!("{total} sends"), limit, || (acknowledged() >= total).then_some(()));
    }

    /// Waits until `more` sends have been acknowledged from now on.
    ///
    /// # Panics
    /// When they are not within `limit`.
    pub fn sends_more(&self, more: u64, limit: Duration) {
        self.sends(self.acknowledged.load(Ordering::Relaxed) + more, limit);
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().expect("the program is killed");
        self.child.wait().expect("the program is gone");
    }

    /// Asks the program to stop sending, lets it drain and returns its report.
    pub fn finish(mut self) -> Result<Report> {
        self.stop()?;
        self.join()
    }

    /// SIGTERM.
    pub fn stop(&self) -> Result<()> {
        let stopped =
            Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().context("kill")?;
        anyhow::ensure!(stopped.success(), "the program had ended before it was stopped");
        Ok(())
    }

    /// Waits for the end that the program was given.
    pub fn join(&mut self) -> Result<Report> {
        let mut text = Vec::new();
        self.output.read_to_end(&mut text).context("reading the report")?;
        self.child.wait().context("waiting for the program")?;
        Report::parse(&text).with_context(|| {
            let said = self.said.lock().expect("nobody panics with it");
            format!("the program said last: {said:#?}")
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let said = self.said.lock().expect("nobody panics with it");
            eprintln!("program {} said last: {said:#?}", self.child.id());
        }
        // A failed test must not leave programs behind; one that has ended is no error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
