//! A command in a pod, by the exec API.
//!
//! ```text
//!   standard input ──┐                              ┌──► standard output, as it comes
//!                    ├──► WebSocket ──► `millpond` ──┼──► standard error
//!   Ctrl-C: end of ──┘                              └──► Status ──► exit code
//! ```
//!
//! Promise: when this ends, everything that the command wrote has been passed on, unless Ctrl-C was pressed.
//! Limit: a signal cannot be sent. A command that reads standard input until its end can be told to end by that; any other goes on
//! after Ctrl-C until it writes the next time.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Api;
use kube::api::{AttachParams, AttachedProcess};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::error::Failure;

/// The container of a broker.
const CONTAINER: &str = "broker";
/// Exit code of what was ended by Ctrl-C, as shells have it.
const INTERRUPTED: u8 = 130;
/// A command that was asked to end is not waited for any longer.
const FAREWELL_TIME_MAX: Duration = Duration::from_secs(5);

/// What becomes of a command's standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// It has none.
    None,
    /// It is passed on.
    Passed,
    /// It is open until Ctrl-C and nothing is written to it.
    OpenUntilInterrupt,
}

/// What a command said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    /// On standard output.
    pub(crate) out: Vec<u8>,
    /// On standard error.
    pub(crate) err: Vec<u8>,
    /// Its exit code.
    pub(crate) code: u8,
}

/// This end of the three streams.
struct Here<I, O, E> {
    input: I,
    out: O,
    err: E,
}

/// Runs `millpond` in a pod and passes on what it writes; returns its exit code.
pub(crate) async fn stream(pods: &Api<Pod>, pod: &str, args: &[String], input: Input) -> Result<u8, Failure> {
    let process = start(pods, pod, args, input).await?;
    let here = Here { input: tokio::io::stdin(), out: tokio::io::stdout(), err: tokio::io::stderr() };
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            // It cannot be listened to: then it ends this program, as usual.
            std::future::pending::<()>().await;
        }
    };
    relay(process, pod, input, here, interrupted).await
}

async fn relay(
    mut process: AttachedProcess,
    pod: &str,
    input: Input,
    here: Here<impl AsyncRead + Unpin, impl AsyncWrite + Unpin, impl AsyncWrite + Unpin>,
    interrupted: impl Future<Output = ()>,
) -> Result<u8, Failure> {
    let mut stdin = process.stdin();
    let feed = feed(stdin.as_mut().filter(|_| input == Input::Passed), here.input);
    {
        let ended = follow(&mut process, pod, here.out, here.err);
        tokio::pin!(ended);
        tokio::select! {
            ended = &mut ended => return ended,
            () = feed => {}
            () = interrupted => {}
        }
        if let Some(stdin) = stdin.as_mut().filter(|_| input == Input::OpenUntilInterrupt) {
            stdin.shutdown().await?;
            return tokio::time::timeout(FAREWELL_TIME_MAX, ended).await.unwrap_or(Ok(INTERRUPTED));
        }
    }
    Ok(INTERRUPTED)
}

/// Passes on what is read here. Never ends: the command does, when it has read enough.
async fn feed(to: Option<&mut (impl AsyncWrite + Unpin)>, mut from: impl AsyncRead + Unpin) {
    if let Some(to) = to {
        // A command that reads no more is no error of ours: its exit code tells.
        let _ = tokio::io::copy(&mut from, to).await;
        let _ = to.shutdown().await;
    }
    std::future::pending::<()>().await;
}

/// Runs `millpond` in a pod and keeps what it says.
pub(crate) async fn capture(pods: &Api<Pod>, pod: &str, args: &[String]) -> Result<Said, Failure> {
    let mut process = start(pods, pod, args, Input::None).await?;
    let mut said = Said { out: Vec::new(), err: Vec::new(), code: 0 };
    said.code = follow(&mut process, pod, &mut said.out, &mut said.err).await?;
    Ok(said)
}

async fn start(
    pods: &Api<Pod>,
    pod: &str,
    args: &[String],
    input: Input,
) -> Result<AttachedProcess, Failure> {
    let command = std::iter::once("millpond").chain(args.iter().map(String::as_str));
    let params = AttachParams::default().container(CONTAINER).stdin(input != Input::None).stderr(true);
    let started = pods.exec(pod, command, &params).await;
    started.map_err(|error| {
        Failure::of(format!("run a command in pod `{pod}` (get and create pods/exec)"), error)
    })
}

/// Passes on what a process writes, until it has ended.
async fn follow(
    process: &mut AttachedProcess,
    pod: &str,
    out: impl AsyncWrite + Unpin,
    err: impl AsyncWrite + Unpin,
) -> Result<u8, Failure> {
    let (stdout, stderr, status) = (process.stdout(), process.stderr(), process.take_status());
    let passed = async { tokio::join!(pass(stdout, out), pass(stderr, err)) };
    let status = async {
        match status {
            Some(status) => status.await,
            None => None,
        }
    };
    tokio::pin!(passed, status);
    let ((out, err), status) = tokio::select! {
        passed = &mut passed => (passed, status.await),
        ended = &mut status => match ended {
            Some(status) => (passed.await, Some(status)),
            // When the connection breaks, nobody ends the two outputs.
            None => ((Ok(()), Ok(())), None),
        },
    };
    out.and(err)?;
    match status.as_ref().map(exit_code) {
        Some(Ok(code)) => Ok(code),
        Some(Err(message)) => Err(Failure::Cut { pod: pod.to_owned(), message }),
        None => {
            Err(Failure::Cut { pod: pod.to_owned(), message: "it ended without an exit code".to_owned() })
        }
    }
}

/// Each piece is written before the next one is read, because people watch.
async fn pass(from: Option<impl AsyncRead + Unpin>, mut to: impl AsyncWrite + Unpin) -> std::io::Result<()> {
    let Some(mut from) = from else { return Ok(()) };
    let mut piece = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut piece).await?;
        if length == 0 {
            return Ok(());
        }
        to.write_all(&piece[..length]).await?;
        to.flush().await?;
    }
}

/// The exit code in what Kubernetes says at the end; otherwise why there is none.
fn exit_code(status: &Status) -> Result<u8, String> {
    if status.status.as_deref() == Some("Success") {
        return Ok(0);
    }
    let causes = status.details.as_ref().and_then(|details| details.causes.as_ref());
    let code = causes.into_iter().flatten().find(|cause| cause.reason.as_deref() == Some("ExitCode"));
    let code = code.and_then(|cause| cause.message.as_ref()?.parse::<i32>().ok());
    match code {
        Some(code) => Ok(u8::try_from(code).unwrap_or(u8::MAX)),
        None => Err(status.message.clone().unwrap_or_else(|| "for a reason that was not given".to_owned())),
    }
}

#[cfg(test)]
mod tests;
