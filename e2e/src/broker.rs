//! A broker of its own: one process without Kubernetes, that can be killed and started again.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use tempfile::TempDir;

use crate::{http, place, wait};

/// A running `millpond-broker`; dropped, it is killed and its data is removed.
#[derive(Debug)]
pub struct Broker {
    folder: TempDir,
    ports: Ports,
    extra: Vec<String>,
    child: Child,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    clients: u16,
    admin: u16,
    http: u16,
}

impl Broker {
    /// Starts one that applies `manifests`, and waits until it serves.
    pub fn start(manifests: &str) -> Self {
        Self::start_with(manifests, &[])
    }

    /// As `start`, with more flags.
    pub fn start_with(manifests: &str, extra: &[String]) -> Self {
        Self::start_in(tempfile::tempdir().expect("a temporary folder"), manifests, extra)
    }

    /// As `start`, with a configuration file; flags win over its addresses and folders.
    pub fn start_configured(manifests: &str, config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("broker.yaml");
        fs::write(&file, config).expect("a configuration file");
        let extra = ["--config".to_owned(), file.display().to_string()];
        Self::start_in(folder, manifests, &extra)
    }

    fn start_in(folder: TempDir, manifests: &str, extra: &[String]) -> Self {
        fs::create_dir(folder.path().join("apply")).expect("a folder for manifests");
        fs::write(folder.path().join("apply/e2e.yaml"), manifests).expect("manifests are written");
        let ports = Ports { clients: free_port(), admin: free_port(), http: free_port() };
        let child = spawn(folder.path(), ports, extra);
        let broker = Self { folder, ports, extra: extra.to_vec(), child };
        broker.serves();
        broker
    }

    /// `host:port` for clients.
    pub fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.ports.clients)
    }

    /// `host:port` of the admin API.
    pub fn admin(&self) -> String {
        format!("127.0.0.1:{}", self.ports.admin)
    }

    /// Where its manifests lie.
    pub fn manifests(&self) -> PathBuf {
        self.folder.path().join("apply/e2e.yaml")
    }

    /// Whether the process runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// `kill -9`, then a new process on the same data and ports. Returns how long it took until it served again.
    pub fn kill_and_restart(&mut self) -> Duration {
        self.child.kill().expect("the broker is killed");
        self.child.wait().expect("the broker is gone");
        let watch = wait::Stopwatch::start();
        self.child = spawn(self.folder.path(), self.ports, &self.extra);
        self.serves();
        watch.elapsed()
    }

    /// The answer of its HTTP port to a GET.
    pub fn http(&self, path: &str) -> Option<String> {
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.http));
        http::get(server, path, Duration::from_secs(5))
    }

    /// A figure of its metrics that has no labels.
    pub fn figure(&self, name: &str) -> Option<f64> {
        let metrics = self.http("/metrics")?;
        let values = metrics.lines().filter_map(|line| line.split_once(' '));
        values.into_iter().find(|(figure, _)| *figure == name)?.1.parse().ok()
    }

    /// A connection to its client port.
    pub fn connect(&self) -> TcpStream {
        let stream =
            TcpStream::connect((Ipv4Addr::LOCALHOST, self.ports.clients)).expect("the broker accepts");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a read timeout");
        stream
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the broker runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number of KiB")
            * 1024
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("broker.log")).unwrap_or_default()
    }

    fn serves(&self) {
        let ready = || self.http("/readyz").filter(|answer| answer.starts_with("HTTP/1.1 200")).map(drop);
        let limit = Duration::from_secs(20);
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait::until("broker is ready", limit, ready);
        }));
        assert!(found.is_ok(), "the broker does not become ready; it said:\n{}", self.log());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(20).collect();
            eprintln!("the broker's last lines:\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
        // It may have ended by itself; then there is nothing left to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(folder: &Path, ports: Ports, extra: &[String]) -> Child {
    let log = File::options().create(true).append(true).open(folder.join("broker.log")).expect("a log file");
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string();
    Command::new(place::program("millpond-broker"))
        .args(["--data".as_ref(), folder.join("data").as_os_str()])
        .args(["--apply".as_ref(), folder.join("apply").as_os_str()])
        .args(["--listen", &local(ports.clients), "--admin-listen", &local(ports.admin)])
        .args(["--http-listen", &local(ports.http)])
        .args(extra)
        .stdout(log.try_clone().expect("a second handle"))
        .stderr(log)
        .spawn()
        .expect("the broker starts")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its number").port()
}
