//! The members of one broker group, each a process, that keep copies of one log and can be disturbed one by one.
//!
//! ```text
//!   folder/record.json   the arbiter, always within reach of all
//!   folder/apply/        topics and consumer groups; whoever leads applies them
//!   folder/<i>/          data of member i       folder/<i>.log   what it said
//! ```
//!
//! Promise: all that runs and all that was made is gone when it is dropped, also after a panic.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use crds::group_record::GroupRecord;
use tempfile::TempDir;

use crate::network::{Cut, Network};
use crate::{http, place, wait};

/// A page that takes longer counts as none.
const PAGE_MAX: Duration = Duration::from_millis(500);
/// Members agree, catch up and are counted again within this time, or something is wrong.
const CONVERGE_MAX: Duration = Duration::from_secs(30);

/// The members of one group.
#[derive(Debug)]
pub struct Members {
    // First the processes, then what they run in and on: fields are dropped in this order.
    each: Vec<Member>,
    network: Option<Network>,
    folder: TempDir,
}

#[derive(Debug)]
struct Member {
    host: Ipv4Addr,
    ports: Ports,
    child: Option<Child>,
    is_paused: bool,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    clients: u16,
    admin: u16,
    http: u16,
    peers: u16,
}

impl Members {
    /// Starts this many, side by side on this machine, and waits until all are in sync.
    pub fn start(count: usize, manifests: &str) -> Self {
        Self::start_configured(count, manifests, "")
    }

    /// As `start`, with more in the configuration of each.
    pub fn start_configured(count: usize, manifests: &str, config: &str) -> Self {
        let members = (0..count).map(|_| Member::new(Ipv4Addr::LOCALHOST, Ports::free()));
        Self::run(members.collect(), None, manifests, config)
    }

    /// As `start`, each in a network of its own, so that `cut` works.
    pub fn start_apart(count: usize, manifests: &str) -> Self {
        let network = Network::new(count);
        let ports = Ports { clients: 8081, admin: 8082, http: 8083, peers: 8084 };
        let members = (0..count).map(|member| Member::new(network.host(member), ports));
        Self::run(members.collect(), Some(network), manifests, "")
    }

    fn run(members: Vec<Member>, network: Option<Network>, manifests: &str, config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("apply")).expect("a folder for manifests");
        fs::write(folder.path().join("apply/e2e.yaml"), manifests).expect("manifests are written");
        let mut all = Self { each: members, network, folder };
        for member in 0..all.count() {
            all.configure(member, config);
            all.launch(member);
        }
        all.converge();
        all
    }

    /// Writes a member's configuration, with more at its end; one that runs looks at it every second.
    pub fn configure(&self, member: usize, more: &str) {
        let config = self.config(member) + more;
        fs::write(self.path(&format!("{member}.yaml")), config).expect("a config is written");
    }

    /// How many there are, running or not.
    pub fn count(&self) -> usize {
        self.each.len()
    }

    /// `host:port` of one for clients.
    pub fn endpoint(&self, member: usize) -> String {
        self.each[member].address(|ports| ports.clients)
    }

    /// `host:port` of each for clients.
    pub fn endpoints(&self) -> Vec<String> {
        (0..self.count()).map(|member| self.endpoint(member)).collect()
    }

    /// `host:port` of each for tools.
    pub fn admins(&self) -> Vec<String> {
        self.each.iter().map(|member| member.address(|ports| ports.admin)).collect()
    }

    /// The processes that run.
    pub fn pids(&self) -> Vec<u32> {
        self.each.iter().filter_map(|member| member.child.as_ref()).map(Child::id).collect()
    }

    /// Where a member keeps its data.
    pub fn data(&self, member: usize) -> PathBuf {
        self.path(&member.to_string())
    }

    /// What the arbiter holds; none before the first member wrote it.
    pub fn record(&self) -> Option<GroupRecord> {
        let text = fs::read_to_string(self.path("record.json")).ok()?;
        let file: serde_json::Value = serde_json::from_str(&text).ok()?;
        GroupRecord::from_json(&file["record"].to_string()).ok()
    }

    /// The member that leads: it says so itself, and the record says so. Waits for it.
    pub fn leader(&self) -> usize {
        wait::until("a leader", CONVERGE_MAX, || {
            let leader = self.record()?.leader?.ordinal as usize;
            self.leads(leader).then_some(leader)
        })
    }

    /// Those that do not lead.
    pub fn followers(&self) -> Vec<usize> {
        let leader = self.leader();
        (0..self.count()).filter(|member| *member != leader).collect()
    }

    /// Whether this member says that it leads.
    pub fn leads(&self, member: usize) -> bool {
        self.page(member, "/metrics").is_some_and(|text| text.contains("\nmillpond_leader 1"))
    }

    /// Whether this member counts: it leads or is in sync.
    pub fn is_ready(&self, member: usize) -> bool {
        self.is_up(member) && http::is_ok(self.each[member].http(), "/readyz", PAGE_MAX)
    }

    /// Waits until these, and no others, are in sync.
    ///
    /// # Panics
    /// When they are not within half a minute; with what each of them said last.
    pub fn settle(&self, members: &[usize]) {
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait::until("the members are in sync", CONVERGE_MAX, || {
                let record = self.record()?;
                let counted: Vec<usize> = record.in_sync.iter().map(|id| id.ordinal as usize).collect();
                let all = members.iter().all(|member| self.is_ready(*member));
                (counted == members && all).then_some(())
            });
        }));
        assert!(found.is_ok(), "not in sync: {:?}\n{}", self.record(), self.last_words());
    }

    /// Waits until all are in sync.
    pub fn converge(&self) {
        self.settle(&(0..self.count()).collect::<Vec<_>>());
    }

    /// `kill -9`.
    pub fn kill(&mut self, member: usize) {
        self.each[member].kill();
    }

    /// SIGTERM, and waits for the end. A leader hands over before.
    pub fn terminate(&mut self, member: usize) {
        self.each[member].signal("-TERM");
        let mut child = self.each[member].child.take().expect("it runs");
        let ended = wait::until("the member ends", CONVERGE_MAX, || child.try_wait().ok().flatten());
        assert!(ended.success(), "member {member} ended with {ended}:\n{}", self.log(member));
    }

    /// SIGSTOP: it is there, and does nothing.
    pub fn pause(&mut self, member: usize) {
        self.each[member].signal("-STOP");
        self.each[member].is_paused = true;
    }

    /// SIGCONT.
    pub fn resume(&mut self, member: usize) {
        self.each[member].signal("-CONT");
        self.each[member].is_paused = false;
    }

    /// Starts a process on the data that there is.
    pub fn launch(&mut self, member: usize) {
        let log = File::options().create(true).append(true).open(self.path(&format!("{member}.log")));
        let log = log.expect("a log file");
        let program = place::program("millpond-broker");
        let mut command = match &self.network {
            Some(network) => network.command(member, &program),
            None => Command::new(program),
        };
        let child = command
            .args(["--config".as_ref(), self.path(&format!("{member}.yaml")).as_os_str()])
            .args(["--apply".as_ref(), self.path("apply").as_os_str()])
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn();
        self.each[member].child = Some(child.expect("the broker starts"));
    }

    /// What the arbiter knows a member by; none when it keeps no copy.
    pub fn store(&self, member: usize) -> Option<u64> {
        let record = self.record()?;
        record.members.iter().find(|id| id.ordinal as usize == member).map(|id| id.store)
    }

    /// Removes the data of a member that does not run.
    pub fn wipe(&mut self, member: usize) {
        assert!(self.each[member].child.is_none(), "member {member} runs");
        fs::remove_dir_all(self.path(&member.to_string())).expect("its data is removed");
    }

    /// Cuts a member off.
    ///
    /// # Panics
    /// Unless they were started apart.
    pub fn cut(&self, member: usize, cut: Cut) {
        self.network.as_ref().expect("members that were started apart").cut(member, cut);
    }

    /// Ends every cut.
    pub fn heal(&self) {
        self.network.as_ref().expect("members that were started apart").heal();
    }

    /// What a member has logged so far.
    pub fn log(&self, member: usize) -> String {
        fs::read_to_string(self.path(&format!("{member}.log"))).unwrap_or_default()
    }

    fn is_up(&self, member: usize) -> bool {
        self.each[member].child.is_some() && !self.each[member].is_paused
    }

    /// The answer of a member's HTTP port to a GET; none while it does not run.
    pub fn page(&self, member: usize, path: &str) -> Option<String> {
        self.is_up(member).then(|| http::get(self.each[member].http(), path, PAGE_MAX))?
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn config(&self, ordinal: usize) -> String {
        let address = |port: fn(&Ports) -> u16| self.each[ordinal].address(port);
        let other = |member: &Member| {
            let ports: [fn(&Ports) -> u16; 3] =
                [|ports| ports.peers, |ports| ports.clients, |ports| ports.admin];
            let [peer, client, admin] = ports.map(|port| member.address(port));
            format!("    - {{peer: '{peer}', client: '{client}', admin: '{admin}'}}\n")
        };
        let others: Vec<String> = self.each.iter().map(other).collect();
        let others = others.concat();
        format!(
            "cluster: local\ngroup: g0\nlisten: {}\nadminListen: {}\nhttpListen: {}\ndata: {}\n\
             log: {{flush: Async}}\nreplication:\n  ordinal: {ordinal}\n  listen: {}\n  members:\n{others}  \
             arbiter: {{file: {{path: {}}}}}\n",
            address(|ports| ports.clients),
            address(|ports| ports.admin),
            address(|ports| ports.http),
            self.path(&ordinal.to_string()).display(),
            address(|ports| ports.peers),
            self.path("record.json").display(),
        )
    }

    fn last_words(&self) -> String {
        let last = |member| {
            let log = self.log(member);
            let lines: Vec<&str> = log.lines().collect();
            format!("member {member}:\n{}\n", lines[lines.len().saturating_sub(30)..].join("\n"))
        };
        (0..self.count()).map(last).collect()
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the record: {:?}\n{}", self.record(), self.last_words());
        }
    }
}

impl Member {
    fn new(host: Ipv4Addr, ports: Ports) -> Self {
        Self { host, ports, child: None, is_paused: false }
    }

    fn address(&self, port: impl Fn(&Ports) -> u16) -> String {
        format!("{}:{}", self.host, port(&self.ports))
    }

    fn http(&self) -> SocketAddr {
        (self.host, self.ports.http).into()
    }

    fn signal(&self, signal: &str) {
        let id = self.child.as_ref().expect("it runs").id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().expect("`kill` is installed");
        assert!(sent.success(), "kill {signal} {id}");
    }

    fn kill(&mut self) {
        self.is_paused = false;
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself; then there is nothing left to kill.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Ports {
    fn free() -> Self {
        // Held until all are known, so that none is given out twice.
        let held = [(); 4].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
        let [clients, admin, http, peers] =
            held.map(|listener| listener.local_addr().expect("its number").port());
        Self { clients, admin, http, peers }
    }
}
