"""One program of the SDK matrix: the official Python SDK, unmodified, against any RocketMQ 5 endpoint.

Command line, scenarios and output are the same in every language: see ../README.md.
"""

import argparse
import itertools
import json
import os
import signal
import sys
import threading
import time
from importlib.metadata import version

from messages import index_of, is_recalled, message, tag, view
from ordered import Ordered
from rocketmq import (
    ClientConfiguration,
    ConsumeResult,
    Credentials,
    FilterExpression,
    MessageListener,
    Producer,
    PushConsumer,
    SimpleConsumer,
)
from rocketmq.grpc_protocol import FilterType
from streaming import stream
from transactions import Transactions, commits

ACK, FAIL, HIDE = "ack", "fail", "hide"


class Listener(MessageListener):
    """What a push consumer calls."""

    def __init__(self, session, number):
        self.session, self.number = session, number

    def consume(self, m):
        if self.session.deliver(m, self.number) != ACK:
            self.session.ordered.hold()
            return ConsumeResult.FAILURE
        time.sleep(self.session.options.work / 1000)
        self.session.done(m, True)
        return ConsumeResult.SUCCESS


class Session:
    """What one run has seen so far, and the decisions about each delivery."""

    def __init__(self, options):
        self.options = options
        self.began, self.began_ms = time.monotonic(), time.time_ns() // 1_000_000
        self.ordered = Ordered(self)
        self.transactions = Transactions(self)
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self.ended = threading.Event()  # SIGTERM came
        self.sent, self.received, self.errors = [], [], []
        self.confirmed = []  # acknowledgements that the broker answered
        self.refusals = []  # why what was taken back cannot be so again
        self.acked = set()
        self.recalled = set()  # delayed messages that were taken back
        self.took = set()  # consumers that have had a message
        self.copies = self.failures = 0

    def problem(self, what, error):
        with self.lock:
            self.failures += 1
            if len(self.errors) < 20:
                self.errors.append(f"{what}: {type(error).__name__}: {error}")

    def ours(self, m):
        return self.options.scenario == "receive" or (m.properties or {}).get("run") == self.options.run

    def now_ms(self):
        return round((time.monotonic() - self.began) * 1000)

    def verdict(self, m):
        scenario, first = self.options.scenario, m.delivery_attempt <= 1
        if self.ordered.fails(m):
            return FAIL
        if scenario == "redeliver" and index_of(m) % 2 == 0 and first:
            return FAIL
        if scenario == "change-invisible" and first:
            return HIDE
        if scenario == "dlq" and not m.topic.startswith("%DLQ%"):
            return FAIL
        return ACK

    def deliver(self, m, consumer, behind=False):
        """Records one delivery and says what to do with it. Messages of other runs are only acknowledged.

        What is behind a message that failed fails with it.
        """
        if not self.ours(m):
            return ACK
        with self.lock:
            self.took.add(consumer)
            self.ordered.count(m)
            verdict = FAIL if behind else self.verdict(m)
            if self.options.scenario == "stream":
                self.copies += index_of(m) in self.acked
            if self.reports():
                self.received.append(view(m, consumer, verdict, self.now_ms()))
        return verdict

    def reports(self):
        """Whether the report has every message."""
        return self.options.scenario != "stream" or self.options.groups > 0

    def done(self, m, is_answered):
        """It was acknowledged (simple) or is about to be (push).

        Where brokers are killed an acknowledgement whose answer got lost may count, and then the message does not come again.
        """
        if not is_answered and not self.options.pace and self.options.scenario != "stream":
            return
        # For what is taken back nobody waits.
        if self.ours(m) and not is_recalled(self.options, index_of(m)):
            with self.lock:
                self.acked.add(index_of(m))
                if is_answered and self.options.mode == "simple" and self.options.groups:
                    self.confirmed.append({"index": index_of(m), "atMs": self.now_ms()})

    def config(self):
        return ClientConfiguration(self.options.endpoint, Credentials(), request_timeout=5)

    def producer(self):
        checker = self.transactions if self.decides() else None
        p = Producer(self.config(), (self.options.topic,), checker, tls_enable=self.options.tls)
        p.startup()
        return p

    def expression(self):
        if self.options.scenario == "sqlfilter":
            return FilterExpression(self.options.expression, FilterType.SQL)
        return FilterExpression("a || b" if self.options.scenario == "tagfilter" else "*")

    def consumers(self, topic, group):
        """Starts the consumers and returns what stops them."""
        stops = [self.consumer(topic, group, number) for number in range(self.options.consumers)]
        return lambda: [stop() for stop in stops]

    def consumer(self, topic, group, number):
        subscription = {topic: self.expression()}
        if self.options.mode == "push":
            listener = Listener(self, number)
            c = PushConsumer(self.config(), group, listener, subscription, tls_enable=self.options.tls)
            c.startup()
            return c.shutdown
        c = SimpleConsumer(self.config(), group, subscription, await_duration=3, tls_enable=self.options.tls)
        c.startup()
        threading.Thread(target=self.receive_all, args=(c, number), daemon=True).start()
        return c.shutdown

    def receive_all(self, c, number):
        # What is behind the stuck message in a reply would use up its attempts with it.
        most = 1 if self.options.scenario == "stuck" else 16
        invisible = 60 if self.options.scenario == "change-invisible" else 10
        while not self.stopped.is_set():
            try:
                failed = set()
                for m in c.receive(most, invisible):
                    self.settle_one(c, m, number, failed)
            except Exception as e:
                if not self.stopped.is_set():
                    self.problem("receive", e)
                    time.sleep(0.1)

    def settle_one(self, c, m, number, failed):
        """`failed` has the message groups of which something in this reply failed."""
        verdict = self.deliver(m, number, self.options.groups > 0 and m.message_group in failed)
        if verdict == ACK:
            time.sleep(self.options.work / 1000)
            try:
                c.ack(m)
            except Exception:
                self.done(m, False)
                raise
            self.done(m, True)
        elif verdict == HIDE:
            c.change_invisible_duration(m, 3)
        else:
            failed.add(m.message_group)
            self.ordered.give_back(c, m)

    def decides(self):
        """Whether the scenario is one with transactions."""
        return self.options.scenario.startswith("transaction")

    def progress(self):
        counts = f"acknowledged={len(self.sent)} received={len(self.acked)} failures={self.failures}"
        print("progress", counts, file=sys.stderr, flush=True)

    def recall(self, p, index, handle):
        """Takes a message back; a second time it is too late."""
        try:
            p.recall_message(self.options.topic, handle)
        except Exception as e:
            self.problem(f"recall {index}", e)
            return
        with self.lock:
            self.recalled.add(index)
        try:
            p.recall_message(self.options.topic, handle)
            self.problem(f"recall {index}", AssertionError("done twice"))
        except Exception as e:
            self.refusals.append(str(e))

    def send(self, p, index, begin=lambda: None):
        """With a pace until it is acknowledged, and then the next one waits. `begin` begins its transaction."""
        at_ms, m, o = self.now_ms(), message(self.options, index), self.options
        while not self.send_once(p, index, m, at_ms, begin):
            if not o.pace or self.now_ms() > at_ms + o.timeout * 1000:
                return False
            time.sleep(0.1)
        if o.pace:
            self.progress()
            time.sleep(o.pace / 1000)
        return True

    def send_once(self, p, index, m, at_ms, begin):
        try:
            receipt = p.send(m, begin())
        except Exception as e:
            self.problem(f"send {index}", e)
            return False
        if is_recalled(self.options, index):
            self.recall(p, index, receipt.recall_handle)
        with self.lock:
            entry = {"id": receipt.message_id, "index": index, "atMs": at_ms, "ackedMs": self.now_ms()}
            entry["transaction"] = receipt.transaction_id
            entry["dueMs"] = m.delivery_timestamp and m.delivery_timestamp * 1000
            self.sent.append(entry)
        return True

    def rounds(self):
        """How often all messages were sent: more than once only with a pace."""
        return max(1, len(self.sent) // self.options.count)

    def goes_on(self, index):
        """Whether this message is to be sent: after all messages of a round, and with a pace, SIGTERM is the end."""
        o = self.options
        return index < o.count or (o.pace > 0 and (index % o.count != 0 or not self.ended.is_set()))

    def expected(self):
        count = self.options.count * self.rounds()
        if self.options.scenario == "sqlfilter":
            return self.options.expect * self.rounds()
        if self.options.scenario.startswith("fifo"):
            return len(self.sent)
        if self.decides():
            return sum(commits(i) for i in range(count))
        if self.options.scenario == "delay":
            return sum(not is_recalled(self.options, i) for i in range(count))
        if self.options.scenario != "tagfilter":
            return count
        return sum(tag("tagfilter", i) in ("a", "b") for i in range(count))

    def failed(self):
        with self.lock:
            return sum(r["verdict"] == FAIL for r in self.received)

    def consumer_of_dead_letters(self):
        """Their topic comes into being with the first of them, when the last lease has run out."""
        group = self.options.group
        for left in reversed(range(20)):
            time.sleep(1)
            try:
                return self.consumers(f"%DLQ%{group}", f"{group}-dlq")
            except Exception:
                if not left:
                    raise

    def wait(self, what, count, enough):
        deadline = time.monotonic() + self.options.timeout
        while count() < enough:
            if time.monotonic() > deadline:
                self.problem("timeout", TimeoutError(f"{count()} of {enough} {what}"))
                return False
            time.sleep(0.02)
        return True

    def settle(self):
        """Until everything is acknowledged, and then a little for what must not come."""
        if not self.wait("acknowledged", lambda: len(self.acked), self.expected()):
            return False
        settled = self.transactions.settled
        if self.decides() and not self.wait("decided", lambda: len(settled), self.options.count * self.rounds()):
            return False
        if self.options.scenario == "delay":
            time.sleep(max(0, max(m["dueMs"] for m in self.sent) / 1000 - time.time()))
        if self.options.scenario in ("tagfilter", "delay") or self.decides():
            time.sleep(1)
        return True

    def play(self):
        """Every scenario but `stream`: consumers first, then the messages, then wait for the end."""
        o, stops = self.options, []
        if o.pace or o.scenario == "transaction-held":
            signal.signal(signal.SIGTERM, lambda *_: self.ended.set())
        if o.scenario != "send":
            stops.append(self.consumers(o.topic, o.group))
        ok = True
        if o.scenario != "receive":
            p = self.producer()
            stops.append(p.shutdown)
            if o.scenario.startswith("fifo"):
                ok = self.ordered.send_in_turn(p)
            elif self.decides():
                ok = self.transactions.send_all(p)
            else:
                ok = all(self.send(p, i) for i in itertools.takewhile(self.goes_on, itertools.count()))
            if o.scenario == "delay":
                self.progress()
        if ok and o.scenario == "stuck":
            ok = self.wait("acknowledged, the stuck one apart", lambda: len(self.acked), o.count - 1)
            stops.append(self.consumer_of_dead_letters())
        if ok and o.scenario == "dlq":
            # Some failures may be lost with a broker: what counts then is that they all end as dead letters.
            ok = o.pace > 0 or self.wait("failed deliveries", self.failed, o.count * o.attempts)
            stops.append(self.consumer_of_dead_letters())
        ok = ok and (o.scenario == "send" or self.settle())
        self.stopped.set()
        # A push consumer waits for its running long polls: half a minute, so only where it is part of the test.
        if o.mode == "simple" or o.scenario == "roundtrip":
            for stop in stops:
                stop()
        return ok


def parse():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--endpoint", default="127.0.0.1:8081")
    p.add_argument("--topic", required=True)
    p.add_argument("--group", required=True)
    p.add_argument("--mode", choices=("simple", "push"), default="simple")
    p.add_argument("--scenario", default="roundtrip")
    p.add_argument("--run", default="")
    p.add_argument("--count", type=int, default=8)
    p.add_argument("--attempts", type=int, default=2)
    p.add_argument("--largest", type=int, default=4 << 20)
    p.add_argument("--groups", type=int, default=0)
    p.add_argument("--priorities", type=int, default=0)
    p.add_argument("--producers", type=int, default=1)
    p.add_argument("--consumers", type=int, default=1)
    p.add_argument("--expression", default="")
    p.add_argument("--expect", type=int, default=0)
    p.add_argument("--work", type=float, default=0)
    p.add_argument("--pace", type=float, default=0)
    p.add_argument("--rate", type=int, default=100)
    p.add_argument("--timeout", type=float, default=60)
    p.add_argument("--seconds", type=float, default=20)
    p.add_argument("--drain", type=float, default=60)
    p.add_argument("--tls", action="store_true")
    o = p.parse_args()
    o.run = o.run or f"python-{os.getpid()}-{time.time_ns()}"
    return o


def main():
    o = parse()
    s = Session(o)
    report = {
        "sdk": "python",
        "version": version("rocketmq-python-client"),
        "scenario": o.scenario,
        "mode": o.mode,
        "tls": o.tls,
        "run": o.run,
    }
    ok = False
    try:
        if o.scenario == "stream":
            ok = stream(s, report)
        else:
            ok = s.play()
    except Exception as e:
        s.problem("start", e)
    report["beganMs"] = s.began_ms
    with s.lock:  # the listeners go on, while this is written
        if s.reports():
            report |= {"sent": s.sent[:], "received": s.received[:], "confirmed": s.confirmed[:]}
            report |= {"decided": s.transactions.decided[:], "checks": s.transactions.checks[:]}
            report |= {"recalled": list(s.recalled), "refusals": s.refusals}
    report |= {"errors": s.errors, "failures": s.failures, "ok": ok}
    report["elapsedMs"] = s.now_ms()
    print(json.dumps(report), flush=True)
    os._exit(0 if ok else 1)  # the SDK leaves threads behind that would keep the process


if __name__ == "__main__":
    sys.exit(main())
