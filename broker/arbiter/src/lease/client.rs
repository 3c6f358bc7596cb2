//! The way to the Kubernetes API: bounded in time, and nothing is sent twice.

use std::time::Duration;

use kube::Client;
use kube::client::ClientBuilder;
use kube::config::Config;

use super::QUIET_MAX;
use crate::{CALL_MAX, OpenError};

/// From inside of a pod, or as `KUBECONFIG` says.
pub(crate) async fn client() -> Result<Client, OpenError> {
    build(Config::infer().await.map_err(|error| OpenError::Kubernetes(error.to_string()))?)
}

fn build(config: Config) -> Result<Client, OpenError> {
    let builder = ClientBuilder::try_from(bounded(config));
    Ok(builder.map_err(|error| OpenError::Kubernetes(error.to_string()))?.build())
}

fn bounded(mut config: Config) -> Config {
    config.connect_timeout = Some(CALL_MAX);
    config.write_timeout = Some(CALL_MAX);
    // Above what a watch may be quiet: this is for connections that nobody waits on any more.
    config.read_timeout = Some(QUIET_MAX + Duration::from_secs(5));
    config.reset_reader_on_write = true;
    // By default a proposal that met a busy server is sent again, and the second answer would hide the first.
    config.default_retry = false;
    config
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use crds::group_record::{GroupRecord, Version};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::{Arbiter, LeaseArbiter, ProposeError};

    async fn serve(mut stream: TcpStream, answer: &str, requests: &AtomicU32) {
        let mut bytes = vec![0; 64 << 10];
        while stream.read(&mut bytes).await.is_ok_and(|len| len > 0) {
            requests.fetch_add(1, Ordering::SeqCst);
            if answer.is_empty() {
                return;
            }
            let len = answer.len();
            let text = format!("HTTP/1.1 {answer}\r\ncontent-length: {len}\r\n\r\n{answer}");
            stream.write_all(text.as_bytes()).await.unwrap();
        }
    }

    /// One proposal to a server that always answers like this; the outcome, and how often the server was asked.
    async fn propose_to(answer: &'static str) -> (ProposeError, u32) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&requests);
        let server = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                serve(stream, answer, &counted).await;
            }
        });
        let client = build(Config::new(url.parse().unwrap())).unwrap();
        let arbiter = Arbiter::lease(LeaseArbiter::new(client, "mq", "shop-g0", Arc::new(|| 0)));
        let outcome = arbiter.propose(Version(1), &GroupRecord::created(1)).await;
        server.abort();
        (outcome.unwrap_err(), requests.load(Ordering::SeqCst))
    }

    #[tokio::test]
    async fn nothing_is_sent_twice() {
        for answer in ["503 Service Unavailable", "504 Gateway Timeout", ""] {
            let (error, requests) = propose_to(answer).await;
            assert!(matches!(error, ProposeError::Unknown(_)), "{answer}: {error}");
            assert_eq!(requests, 1, "{answer}");
        }
        let (error, requests) = propose_to("429 Too Many Requests").await;
        assert!(matches!(error, ProposeError::Refused(_)), "{error}");
        assert_eq!(requests, 1);
    }

    #[tokio::test]
    async fn nobody_there_is_perhaps_written_too() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let client = build(Config::new(url.parse().unwrap())).unwrap();
        let arbiter = Arbiter::lease(LeaseArbiter::new(client, "mq", "shop-g0", Arc::new(|| 0)));
        let outcome = arbiter.propose(Version(1), &GroupRecord::created(1)).await;
        assert!(matches!(outcome, Err(ProposeError::Unknown(_))), "{outcome:?}");
    }
}
