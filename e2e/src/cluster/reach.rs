//! How a test on the host reaches a Service: directly where the network allows it, otherwise through `kubectl`.
//!
//! The local cluster routes Service addresses to the host. On kind a port is forwarded, and forwarded again each time
//! the pod behind it goes: to an SDK that looks like a broker that restarts.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use kube::Api;

use crate::cluster::Place;
use crate::wait;

/// An address that works as long as this lives.
#[derive(Debug)]
pub struct Reach {
    endpoint: String,
    forward: Option<Forward>,
}

impl Reach {
    pub(crate) async fn new(place: &Place, service: &str) -> Self {
        let services: Api<Service> = place.api();
        let found = services.get(service).await.expect("the Service exists");
        let address = found.spec.and_then(|spec| spec.cluster_ip).expect("a Service with an address");
        let direct: Option<SocketAddr> = format!("{address}:8081").parse().ok();
        if let Some(direct) = direct
            && answers(direct)
        {
            return Self { endpoint: direct.to_string(), forward: None };
        }
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let forward = Forward::start(&place.namespace, service, port);
        let endpoint = format!("127.0.0.1:{port}");
        let local: SocketAddr = endpoint.parse().expect("an address");
        wait::until("the forwarded port", Duration::from_secs(20), || answers(local).then_some(()));
        Self { endpoint, forward: Some(forward) }
    }

    /// `host:port`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Whether it takes a connection now.
    pub fn answers(&self) -> bool {
        self.endpoint.parse().is_ok_and(answers)
    }
}

fn answers(to: SocketAddr) -> bool {
    TcpStream::connect_timeout(&to, Duration::from_secs(2)).is_ok()
}

impl Drop for Reach {
    fn drop(&mut self) {
        if let Some(forward) = self.forward.take() {
            forward.stop();
        }
    }
}

#[derive(Debug)]
struct Forward {
    stopped: Arc<AtomicBool>,
    child: Arc<Mutex<Child>>,
    thread: JoinHandle<()>,
}

impl Forward {
    fn start(namespace: &str, service: &str, port: u16) -> Self {
        let args = [
            "--namespace".to_owned(),
            namespace.to_owned(),
            "port-forward".to_owned(),
            format!("service/{service}"),
            format!("{port}:8081"),
        ];
        let spawn = move || {
            Command::new("kubectl")
                .args(&args)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("kubectl runs")
        };
        let child = Arc::new(Mutex::new(spawn()));
        let stopped = Arc::new(AtomicBool::new(false));
        let (seen, current) = (Arc::clone(&stopped), Arc::clone(&child));
        let thread = std::thread::spawn(move || {
            while !seen.load(Ordering::Acquire) {
                let ended = |child: &mut Child| !matches!(child.try_wait(), Ok(None));
                let mut child = current.lock().unwrap_or_else(PoisonError::into_inner);
                if ended(&mut child) && !seen.load(Ordering::Acquire) {
                    *child = spawn();
                }
                drop(child);
                pause();
            }
        });
        Self { stopped, child, thread }
    }

    fn stop(self) {
        self.stopped.store(true, Ordering::Release);
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have ended with the pod behind it.
        let _ = child.kill();
        let _ = child.wait();
        drop(child);
        self.thread.join().expect("the forwarding thread ends");
    }
}

#[expect(clippy::disallowed_methods, reason = "a process outside has no event that could be awaited here")]
fn pause() {
    std::thread::sleep(Duration::from_millis(100));
}
