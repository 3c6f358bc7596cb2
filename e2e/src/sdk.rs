//! The official SDKs: one program each, all with the same command line (`e2e/sdk/README.md`).

pub mod report;
pub mod stream;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::place;
use crate::sdk::report::Report;
use crate::sdk::stream::Stream;

/// Largest body that a broker accepts.
pub const BODY_BYTES_MAX: usize = 4 << 20;

/// An official SDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Sdk {
    /// `rocketmq-client-java`.
    Java,
    /// `rocketmq-clients/golang/v5`.
    Go,
    /// `rocketmq-python-client`.
    Python,
    /// `rocketmq-client-nodejs`.
    Node,
}

impl Sdk {
    /// Every SDK of the matrix.
    pub const ALL: [Self; 4] = [Self::Java, Self::Go, Self::Python, Self::Node];

    /// Its name in file names and on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Java => "java",
            Self::Go => "go",
            Self::Python => "python",
            Self::Node => "node",
        }
    }

    /// Largest body that it can also receive: Node's gRPC refuses responses over 4 MiB with their envelope.
    pub fn body_bytes_max(self) -> usize {
        match self {
            Self::Java | Self::Go | Self::Python => BODY_BYTES_MAX,
            Self::Node => BODY_BYTES_MAX - 4096,
        }
    }
}

/// Which kind of consumer receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Mode {
    /// The program asks for messages and acknowledges them.
    Simple,
    /// The SDK asks, calls a listener and acknowledges.
    Push,
}

impl Mode {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Simple, Self::Push];

    /// Its name on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Push => "push",
        }
    }
}

/// What a program does; see `e2e/sdk/README.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Scenario {
    /// Every message comes back unharmed, once.
    Roundtrip,
    /// A delivery that fails is followed by a second one.
    Redeliver,
    /// Only messages with the wanted tags come.
    Tagfilter,
    /// A shortened lease ends early.
    ChangeInvisible,
    /// Messages that always fail end in the dead letter topic.
    Dlq,
    /// Only sends the messages of `roundtrip`.
    Send,
    /// Only receives messages of `send`.
    Receive,
}

impl Scenario {
    /// Those that are complete in themselves.
    pub const MATRIX: [Self; 5] =
        [Self::Roundtrip, Self::Redeliver, Self::Tagfilter, Self::ChangeInvisible, Self::Dlq];

    /// Its name on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Roundtrip => "roundtrip",
            Self::Redeliver => "redeliver",
            Self::Tagfilter => "tagfilter",
            Self::ChangeInvisible => "change-invisible",
            Self::Dlq => "dlq",
            Self::Send => "send",
            Self::Receive => "receive",
        }
    }
}

/// One call of an SDK's program.
#[derive(Debug, Clone)]
pub struct Call {
    /// The SDK.
    pub sdk: Sdk,
    /// The kind of consumer.
    pub mode: Mode,
    /// `host:port`.
    pub endpoint: String,
    /// The topic.
    pub topic: String,
    /// The consumer group.
    pub group: String,
    /// Whether to connect with TLS, and the authority to trust (Python and Node verify).
    pub tls: Option<PathBuf>,
}

impl Call {
    /// A call without TLS.
    pub fn new(sdk: Sdk, mode: Mode, endpoint: &str, topic: &str, group: &str) -> Self {
        let (endpoint, topic, group) = (endpoint.to_owned(), topic.to_owned(), group.to_owned());
        Self { sdk, mode, endpoint, topic, group, tls: None }
    }

    /// Runs a scenario with `count` messages to its end.
    pub fn run(&self, scenario: Scenario, count: usize) -> Result<Report> {
        self.run_as(scenario, count, self.sdk)
    }

    /// As `run`, with the largest body that `reader` can receive.
    pub fn run_as(&self, scenario: Scenario, count: usize, reader: Sdk) -> Result<Report> {
        let largest = reader.body_bytes_max().to_string();
        self.play(scenario.word(), &["--count", &count.to_string(), "--largest", &largest])
    }

    /// Runs a scenario that is not of the matrix, with the options that it needs.
    pub fn play(&self, scenario: &str, options: &[&str]) -> Result<Report> {
        let output =
            self.command(scenario).args(options).stderr(Stdio::piped()).output().context("e2e/sdk/run.sh")?;
        Report::parse(&output.stdout).with_context(|| {
            format!("{} said: {}", self.sdk.word(), String::from_utf8_lossy(&output.stderr).trim_end())
        })
    }

    /// As `play`, and the test goes on meanwhile.
    pub fn start(&self, scenario: &str, options: &[&str]) -> Result<Stream> {
        let mut command = self.command(scenario);
        command.args(options);
        Stream::start(command)
    }

    /// Sends `rate` messages a second and receives them, until it is stopped or `seconds` have passed.
    pub fn stream(&self, rate: u32, seconds: u64) -> Result<Stream> {
        self.stream_with(rate, seconds, &[])
    }

    /// As `stream`, with more options.
    pub fn stream_with(&self, rate: u32, seconds: u64, options: &[&str]) -> Result<Stream> {
        let mut command = self.command("stream");
        command.args(["--rate", &rate.to_string(), "--seconds", &seconds.to_string()]).args(options);
        Stream::start(command)
    }

    fn command(&self, scenario: &str) -> Command {
        let mut command = Command::new(place::e2e("sdk/run.sh"));
        command
            .arg(self.sdk.word())
            .args(["--endpoint", &self.endpoint, "--topic", &self.topic, "--group", &self.group])
            .args(["--mode", self.mode.word(), "--scenario", scenario]);
        if let Some(authority) = &self.tls {
            command.arg("--tls").env("MILLPOND_CA", authority);
        }
        command
    }
}
