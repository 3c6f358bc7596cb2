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

/// Runs `millpond` in a pod and passes on what it writes; returns its exit code.
pub(crate) async fn stream(pods: &Api<Pod>, pod: &str, args: &[String], input: Input) -> Result<u8, Failure> {
    let mut process = start(pods, pod, args, input).await?;
    let mut stdin = process.stdin();
    let feed = async {
        let interrupted = tokio::signal::ctrl_c();
        match &mut stdin {
            Some(stdin) if input == Input::Passed => {
                // Who reads no more is no error of ours; the exit code tells.
                let feed = async {
                    let _ = tokio::io::copy(&mut tokio::io::stdin(), stdin).await;
                    let _ = stdin.shutdown().await;
                    std::future::pending::<()>().await;
                };
                tokio::select! { () = feed => {}, _ = interrupted => {} }
            }
            Some(_) | None => drop(interrupted.await),
        }
    };
    let ended = follow(&mut process, pod, tokio::io::stdout(), tokio::io::stderr());
    tokio::pin!(ended);
    tokio::select! {
        ended = &mut ended => return ended,
        () = feed => {}
    }
    let Some(stdin) = stdin.as_mut().filter(|_| input == Input::OpenUntilInterrupt) else {
        return Ok(INTERRUPTED);
    };
    stdin.shutdown().await?;
    tokio::time::timeout(FAREWELL_TIME_MAX, ended).await.unwrap_or(Ok(INTERRUPTED))
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
    started.map_err(|error| Failure::of(format!("run a command in pod `{pod}` (create pods/exec)"), error))
}

/// Passes on what a process writes, until it has ended.
async fn follow(
    process: &mut AttachedProcess,
    pod: &str,
    out: impl AsyncWrite + Unpin,
    err: impl AsyncWrite + Unpin,
) -> Result<u8, Failure> {
    let (stdout, stderr, status) = (process.stdout(), process.stderr(), process.take_status());
    let (out, err) = tokio::join!(pass(stdout, out), pass(stderr, err));
    out.and(err)?;
    let status = match status {
        Some(status) => status.await,
        None => None,
    };
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
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{api, refuse};

    fn code(status: Value) -> Result<u8, String> {
        exit_code(&serde_json::from_value(status).unwrap())
    }

    #[test]
    fn the_exit_code_is_in_the_causes() {
        let ended = |code: &str| {
            json!({"status": "Failure", "reason": "NonZeroExitCode", "message": "command terminated",
                "details": {"causes": [{"reason": "ExitCode", "message": code}]}})
        };
        assert_eq!(code(json!({"status": "Success"})), Ok(0));
        assert_eq!(code(ended("4")), Ok(4));
        assert_eq!(code(ended("-1")), Ok(255));
    }

    #[test]
    fn a_command_that_never_ran_has_no_exit_code() {
        let status = json!({"status": "Failure", "reason": "InternalError", "message": "no such container"});
        assert_eq!(code(status), Err("no such container".to_owned()));
    }

    #[tokio::test]
    async fn all_that_is_written_is_passed_on() {
        let (mut near, far) = tokio::io::duplex(7);
        let text: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
        let expected = text.clone();
        let writer = tokio::spawn(async move { near.write_all(&text).await.unwrap() });
        let mut got = Vec::new();
        pass(Some(far), &mut got).await.unwrap();
        writer.await.unwrap();
        assert_eq!(got, expected);
    }

    #[tokio::test]
    async fn without_the_right_to_exec_the_right_is_named() {
        let (client, server) =
            api(vec![refuse("GET /api/v1/namespaces/mq/pods/shop-g0-0/exec", 403, "Forbidden")]);
        let pods: Api<Pod> = Api::namespaced(client, "mq");
        let refused = capture(&pods, "shop-g0-0", &["status".to_owned()]).await.unwrap_err().to_string();
        assert!(refused.contains("create pods/exec"), "{refused}");
        drop(pods);
        let sent = server.await.unwrap();
        assert!(sent[0].contains("command=millpond&command=status"), "{sent:?}");
        assert!(sent[0].contains("container=broker") && !sent[0].contains("stdin=true"), "{sent:?}");
    }
}
