#!/usr/bin/env python3
"""Transactions, order, timers and batches: RocketMQ 5.5 and Millpond round by round, into docs/benchmarks-features.md.

    features.py [ROUNDS]      default 5; needs Java 17 and Maven, a release build of broker and cli; about 20 minutes

The same client (`millpond bench`, one thread, one connection) drives both. While one server is measured the other one is stopped by a signal,
so that it takes no part of the cores.
"""
import contextlib, json, os, signal, statistics, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 5
BODY_BYTES = 1024
MESSAGE_GROUPS = 1000
ORDERED = 60_000
TIMERS = 1_000_000
RELEASED = 10_000
SECONDS = "10s"


def say(text):
    print(time.strftime("[%H:%M:%S]"), text, file=sys.stderr, flush=True)


def sh(*command, **env):
    subprocess.run(command, check=True, env=os.environ | env, stdout=sys.stderr)


class Server:
    def __init__(self, name, port, data):
        self.name, self.port, self.data = name, port, data

    def pids(self):
        names = [name for name in os.listdir(self.data) if name.endswith(".pid")]
        return [int(open(os.path.join(self.data, name)).read()) for name in names]

    def send_signal(self, number):
        for pid in self.pids():
            os.kill(pid, number)

    @contextlib.contextmanager
    def alone(self):
        self.send_signal(signal.SIGCONT)
        try:
            yield
        finally:
            self.send_signal(signal.SIGSTOP)

    def proc(self, file, field):
        total = 0
        for pid in self.pids():
            lines = dict(line.split(":", 1) for line in open(f"/proc/{pid}/{file}") if ":" in line)
            total += int(lines[field].split()[0])
        return total

    def bench(self, *args, callers=32):
        command = [os.path.join(TARGET, "release", "millpond"), "--endpoint", f"127.0.0.1:{self.port}",
                   "--admin", f"127.0.0.1:{self.port + 1000}", "bench", *map(str, args),
                   "--callers", str(callers), "--size", str(BODY_BYTES), "--output", "json"]
        with self.alone():
            done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{self.name}: {' '.join(command)}: {done.stderr}")
        row = json.loads(done.stdout)
        say(f"{self.name} {' '.join(map(str, args[:2]))}: {row['messages_per_s']:,.0f} messages/s, errors {row['errors']}")
        return row


class Millpond(Server):
    def start(self, flush="async"):
        sh(f"{HERE}/millpond.sh", "start", MILLPOND_PORT=str(self.port), MILLPOND_DATA=self.data, MILLPOND_FLUSH=flush)

    def stop(self):
        self.send_signal(signal.SIGCONT)
        sh(f"{HERE}/millpond.sh", "stop", MILLPOND_DATA=self.data)

    def make(self, topic, kind):
        """The benchmark makes topic and group itself."""
        return ["--create"]


class RocketMQ(Server):
    def start(self):
        # A million timers fill its disk to more than the share at which it refuses sends.
        ratio = "-Drocketmq.broker.diskSpaceWarningLevelRatio=0.98 -Drocketmq.broker.diskSpaceCleanForciblyRatio=0.97"
        sh(f"{HERE}/start.sh", "--fresh", PEER_DATA=self.data, PEER_JAVA_OPTS=ratio)

    def stop(self):
        self.send_signal(signal.SIGCONT)
        sh(f"{HERE}/stop.sh", PEER_DATA=self.data)

    def make(self, topic, kind):
        at, ordered = ["-b", "127.0.0.1:10911"], str(kind == "FIFO").lower()
        with self.alone():
            for command in (["updateTopic", *at, "-t", topic, "-r", "8", "-w", "8", "-a", f"+message.type={kind}"],
                            ["updateSubGroup", *at, "-g", f"{topic}-group", "-o", ordered]):
                sh(f"{HERE}/mqadmin.sh", *command, PEER_DATA=self.data)
        return []


def median(rows, key="messages_per_s"):
    return statistics.median(row[key] for row in rows)


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def each(values):
    return " / ".join(number(value) for value in values)


def rates(rows):
    return each(row["messages_per_s"] for row in rows)


def transactions(peer, ours):
    rows = {peer: [], ours: []}
    for _ in range(ROUNDS):
        for server in (ours, peer):
            rows[server].append(server.bench("send", "bench-tx", "--transaction", "--duration", SECONDS, "--warmup", "2s"))
    written = {}
    for server in (peer, ours):
        before = server.proc("io", "write_bytes")
        row = server.bench("send", "bench-tx", "--transaction", "--duration", SECONDS, "--warmup", "0s")
        written[server] = (server.proc("io", "write_bytes") - before) / (row["messages"] * BODY_BYTES)
    yield ("Transactions begun and committed, 32 callers: messages/s", rates(rows[peer]), rates(rows[ours]),
           f"{median(rows[ours]) / median(rows[peer]):.2f}x", "≥ 3x")
    yield ("… bytes written per byte of a 1 KiB body", f"{written[peer]:.2f}", f"{written[ours]:.2f}", "", "≤ 1.3")


def order(peer, ours):
    rows = {(server, stuck): [] for server in (peer, ours) for stuck in (0, 1)}
    for turn in range(ROUNDS):
        for server, stuck in rows:
            topic = f"ledger-{turn}-{stuck}"
            made = server.make(topic, "FIFO")
            rows[server, stuck].append(server.bench("receive", topic, "--group", f"{topic}-group", "--prefill", ORDERED,
                                                    "--message-groups", MESSAGE_GROUPS, "--stuck", stuck, *made))
    title = f"In order, {MESSAGE_GROUPS:,} message groups: messages/s received and acknowledged"
    yield (title, rates(rows[peer, 0]), rates(rows[ours, 0]), f"{median(rows[ours, 0]) / median(rows[peer, 0]):.2f}x", "")
    yield ("… with one of them stuck, of the others", rates(rows[peer, 1]), rates(rows[ours, 1]), "", "")
    kept = {server: median(rows[server, 1]) / median(rows[server, 0]) for server in (peer, ours)}
    yield ("… rate kept", f"{kept[peer]:.1%}", f"{kept[ours]:.1%}", "", "> 95 %")
    others = ORDERED - ORDERED // MESSAGE_GROUPS
    came = {server: median(rows[server, 1], "messages") / others for server in (peer, ours)}
    yield ("… share of the others' messages that came at all", f"{came[peer]:.1%}", f"{came[ours]:.1%}", "", "")


def timers(peer, ours, loaded):
    pending = {}
    for server, batch in ((peer, 1), (loaded, 32)):
        before, count = server.proc("status", "RssAnon"), 0
        while count < TIMERS:
            args = ("send", "bench-delay", "--delay", "12h", "--duration", "5s", "--warmup", "0s", "--batch", batch)
            count += server.bench(*args)["messages"]
        pending[server] = (count, (server.proc("status", "RssAnon") - before) * 1024 / count)
    rows = {ours: [], loaded: []}
    for _ in range(ROUNDS):
        for server in rows:
            rows[server].append(server.bench("send", "bench-normal", "--duration", SECONDS, "--warmup", "2s"))
    late = {}
    for server in (peer, loaded):
        args = ("e2e", "bench-later", "--group", "bench-later-group", "--rate", RELEASED, "--delay", "5s", "--consumers", 32,
                "--duration", "20s", *server.make("bench-later", "DELAY"))
        late[server] = [server.bench(*args, callers=64) for _ in range(3)]
    count, each_bytes = pending[loaded]
    yield ("Timers pending", f"{pending[peer][0]:,}", f"{count:,}", "", f"≥ {TIMERS:,}")
    yield ("… growth of anonymous memory per timer: bytes", number(max(pending[peer][1], 0)), number(each_bytes), "", "≤ 100")
    yield ("… sends beside them: messages/s", "", f"{rates(rows[loaded])} (without: {rates(rows[ours])})",
           f"{median(rows[loaded]) / median(rows[ours]):.2f} of without", "≥ 0.8")

    def latency(server, name):
        return each(row["latency"][name] for row in late[server])

    title = f"… lateness with {RELEASED:,} due a second: "
    yield (title + "p50 ms", latency(peer, "p50_ms"), latency(loaded, "p50_ms"), "", "")
    yield (title + "p99 ms", latency(peer, "p99_ms"), latency(loaded, "p99_ms"), "", "< 100 ms")
    reached = {server: each(row["messages_per_s"] for row in late[server]) for server in late}
    yield ("… messages/s that came so", reached[peer], reached[loaded], "", "")
    lost = {server: sum(row["lost"] for row in late[server]) for server in late}
    yield ("… confirmed and not received", str(lost[peer]), str(lost[loaded]), "", "0")


def batches(ours):
    rows = {1: [], 32: []}
    for _ in range(ROUNDS):
        for batch in rows:
            rows[batch].append(ours.bench("send", "bench-normal", "--batch", batch, "--duration", SECONDS, "--warmup", "2s"))
    yield ("`flush: Sync`, one message a request: messages/s", "", rates(rows[1]), "", "")
    yield ("… 32 a request", "", rates(rows[32]), f"{median(rows[32]) / median(rows[1]):.1f}x of single", "≥ 5x")


def main():
    with tempfile.TemporaryDirectory(prefix="features-") as folder:
        measure(folder)


def measure(folder):
    peer = RocketMQ("RocketMQ", 8081, os.path.join(folder, "peer"))
    ours = Millpond("Millpond", 8091, os.path.join(folder, "ours"))
    loaded = Millpond("Millpond with timers", 8101, os.path.join(folder, "loaded"))
    sh(f"{HERE}/setup.sh")
    rows = []
    for server in (peer, ours, loaded):
        server.start()
        server.send_signal(signal.SIGSTOP)
    try:
        say("warming the peer up")
        peer.bench("send", "bench-tx", "--transaction", "--duration", "60s")
        rows += transactions(peer, ours)
        rows += order(peer, ours)
        rows += timers(peer, ours, loaded)
        ours.stop()
        ours.start("sync")
        rows += batches(ours)
    finally:
        for server in (peer, ours, loaded):
            server.stop()
    out = os.path.join(ROOT, "docs", "benchmarks-features.md")
    head = open(os.path.join(HERE, "features.md")).read()
    with open(out, "w") as file:
        file.write(head.replace("ROUNDS", str(ROUNDS)))
        for row in rows:
            file.write("| " + " | ".join(row) + " |\n")
    say(f"written: {out}")


main()
