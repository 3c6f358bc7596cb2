"""What the scenarios with message groups add: deliveries that fail, and several producers."""

import threading
import time
from collections import Counter

from messages import index_of


class Ordered:
    def __init__(self, session):
        self.session = session
        self.seen = Counter()  # deliveries of each message so far

    def count(self, m):
        self.seen[index_of(m)] += 1

    def fails(self, m):
        """Whether a scenario wants this delivery to fail; it was counted."""
        scenario, index = self.session.options.scenario, index_of(m)
        if scenario == "fifo-retry":
            return index % 5 == 2 and self.seen[index] == 1
        return scenario == "stuck" and index == self.stuck_at() and not m.topic.startswith("%DLQ%")

    def stuck_at(self):
        """The message that always fails: the third of the first message group."""
        return 2 * self.session.options.groups

    def is_first_of_stuck(self):
        return self.session.options.scenario == "stuck" and self.seen[self.stuck_at()] == 1

    def hold(self):
        """Keeps the first delivery of the stuck message until all message groups but its own are done."""
        o = self.session.options
        if self.is_first_of_stuck():
            what = "acknowledged of other message groups"
            self.session.wait(what, self.others_done, o.count - o.count // o.groups)

    def others_done(self):
        groups = self.session.options.groups
        with self.session.lock:
            return sum(index % groups != self.stuck_at() % groups for index in self.session.acked)

    def give_back(self, c, m):
        """Ends the lease of what failed soon. The stuck message is held first, and left alone the second time."""
        if self.session.options.scenario == "fifo-retry":
            c.change_invisible_duration(m, 1)
        elif self.is_first_of_stuck():
            c.change_invisible_duration(m, 60)
            threading.Thread(target=self.let_go, args=(c, m), daemon=True).start()

    def let_go(self, c, m):
        self.hold()
        try:
            c.change_invisible_duration(m, 1)
        except Exception as e:
            self.session.problem("change invisible", e)

    def send_in_turn(self, first):
        """Sends each message group's messages one after the other, by several producers at a time.

        It goes on until every consumer has had a message, so that they are seen to share the work.
        """
        o = self.session.options
        producers = [first] + [self.session.producer() for _ in range(o.producers - 1)]
        deadline = time.monotonic() + o.timeout
        done = []
        work = lambda p, n: done.append(self.send_groups(p, n, deadline))  # noqa: E731
        threads = [threading.Thread(target=work, args=(p, n)) for n, p in enumerate(producers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return len(done) == len(producers) and all(done)

    def send_groups(self, p, n, deadline):
        s, o, at = self.session, self.session.options, 0
        flows = lambda: o.pace > 0 and not s.ended.is_set()  # noqa: E731
        while at < o.count // o.groups or len(s.took) < o.consumers or flows():
            if not flows() and time.monotonic() > deadline:
                return True  # who had nothing shows in the report
            for group in range(n, o.groups, o.producers):
                if not s.send(p, at * o.groups + group):
                    return False
            at += 1
            enough = not o.pace and at >= o.count // o.groups
            if enough and not s.wait("acknowledged in turn", lambda: len(s.acked), s.expected()):
                return False
        return True
