//! A network of its own for each member, so that it can be cut off while everything runs on one machine.
//!
//! ```text
//!   this process ── veth ── hub ──┬── veth ── member 0      addresses: 198.18.<n>.0/24, see `Network::host`
//!                     (forwards)  ├── veth ── member 1
//!                                 └── veth ── member 2      a cut: the hub drops what comes from or goes to a member
//! ```
//!
//! Promise: what was made is removed when it is dropped, also after a panic; what a killed run left behind is removed by
//! the next one. A cut drops packets without a word, as a broken switch does: nobody is told that a connection ended.
//! Limit: needs root, `ip` and `nft`; without them it says so.

use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

/// Every name begins with this, then comes the id of the process that made it.
const PREFIX: &str = "millpond-";
/// Networks that this process has made.
static MADE: AtomicU8 = AtomicU8::new(0);

/// What a member does not get through any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Nothing in, nothing out.
    Both,
    /// It is heard, and hears nobody.
    In,
    /// It hears, and nobody hears it.
    Out,
}

/// Members side by side, each in a network namespace.
#[derive(Debug)]
pub struct Network {
    name: String,
    number: u8,
    members: usize,
}

impl Network {
    /// Lays the cables.
    ///
    /// # Panics
    /// Without root, `ip` or `nft`.
    pub fn new(members: usize) -> Self {
        remove_leftovers();
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        // Two runs side by side must not meet; if they do, the second address is refused and says so.
        let number = (process as u8).wrapping_mul(31).wrapping_add(made);
        let network = Self { name: format!("{PREFIX}{process}-{made}"), number, members };
        network.lay();
        network
    }

    /// The address of a member.
    pub fn host(&self, member: usize) -> Ipv4Addr {
        self.address(8 + 4 * member as u8 + 2)
    }

    /// A program that will run where only this member is.
    pub fn command(&self, member: usize, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.place(member)]).arg(program);
        command
    }

    /// Cuts a member off from everybody, this process among them.
    pub fn cut(&self, member: usize, cut: Cut) {
        let from = format!("add rule inet cut forward iifname \"m{member}\" drop\n");
        let to = format!("add rule inet cut forward oifname \"m{member}\" drop\n");
        let rules = match cut {
            Cut::Both => from + &to,
            Cut::In => to,
            Cut::Out => from,
        };
        self.filter(&rules);
    }

    /// Ends every cut.
    pub fn heal(&self) {
        self.filter("flush chain inet cut forward\n");
    }

    fn address(&self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.number, last)
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.name)
    }

    fn place(&self, member: usize) -> String {
        format!("{}-{member}", self.name)
    }

    /// The end of the cable in this process's own network; names of interfaces have at most 15 characters.
    fn cable(&self) -> String {
        format!("mp{}x{}", std::process::id(), self.number)
    }

    fn lay(&self) {
        let (hub, cable) = (self.hub(), self.cable());
        ip(&format!("netns add {hub}"));
        ip(&format!("-n {hub} link set lo up"));
        ip(&format!("netns exec {hub} sysctl -q -w net.ipv4.ip_forward=1"));
        ip(&format!("link add {cable} type veth peer name out netns {hub}"));
        ip(&format!("-n {hub} address add {}/30 dev out", self.address(5)));
        ip(&format!("-n {hub} link set out up"));
        ip(&format!("address add {}/30 dev {cable}", self.address(6)));
        ip(&format!("link set {cable} up"));
        ip(&format!("route add {}/24 via {}", self.address(0), self.address(5)));
        for member in 0..self.members {
            let (place, gate) = (self.place(member), self.address(8 + 4 * member as u8 + 1));
            ip(&format!("netns add {place}"));
            ip(&format!("-n {place} link set lo up"));
            ip(&format!("-n {hub} link add m{member} type veth peer name out netns {place}"));
            ip(&format!("-n {hub} address add {gate}/30 dev m{member}"));
            ip(&format!("-n {hub} link set m{member} up"));
            ip(&format!("-n {place} address add {}/30 dev out", self.host(member)));
            ip(&format!("-n {place} link set out up"));
            ip(&format!("-n {place} route add default via {gate}"));
        }
        self.filter(
            "add table inet cut\nadd chain inet cut forward { type filter hook forward priority 0; }\n",
        );
    }

    fn filter(&self, rules: &str) {
        let mut child = Command::new("ip")
            .args(["netns", "exec", &self.hub(), "nft", "-f", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("`ip` is installed");
        child.stdin.take().expect("a pipe").write_all(rules.as_bytes()).expect("rules are written");
        let output = child.wait_with_output().expect("`nft` ends");
        assert!(output.status.success(), "nft (is it installed?): {}", text(&output));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The other cables go with the places that they lead to. What was not made yet is no error.
        let _ = run(&format!("link delete {}", self.cable()));
        let places = (0..self.members).map(|member| self.place(member)).chain([self.hub()]);
        for place in places {
            let _ = run(&format!("netns delete {place}"));
        }
    }
}

/// A run that was killed could not clean up; its process is gone, or the number has been given to another.
fn remove_leftovers() {
    let Ok(list) = run("netns list") else { return };
    for line in String::from_utf8_lossy(&list.stdout).lines() {
        let name = line.split(' ').next().unwrap_or_default();
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            let _ = run(&format!("netns delete {name}"));
        }
    }
}

fn ip(arguments: &str) {
    let output = run(arguments).expect("`ip` is installed");
    assert!(output.status.success(), "ip {arguments} (are you root?): {}", text(&output));
}

fn run(arguments: &str) -> std::io::Result<Output> {
    Command::new("ip").args(arguments.split(' ')).output()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim_end().to_owned()
}
