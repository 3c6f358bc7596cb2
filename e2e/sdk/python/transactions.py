"""What the scenarios with transactions add: their decisions, by the sender and by the checker."""

import itertools
import time
from collections import Counter

from messages import index_of, view
from rocketmq import TransactionChecker, TransactionResolution


def commits(index):
    """Whether message `index` is committed in the end, whoever decides."""
    return index % 3 == 0 or index % 6 == 2


def is_left(index):
    """Whether the sender leaves it to the checker."""
    return index % 3 == 2


class Transactions(TransactionChecker):
    def __init__(self, session):
        self.session = session
        self.decided = []  # messages that the sender decided: the broker answered
        self.checks = []  # what the checker was asked, and its answer as the verdict
        self.settled = set()  # messages that somebody decided
        self.asked = Counter()
        self.holds = False

    def check(self, m):
        """At the first question about some messages the answer is not known."""
        index = index_of(m)
        with self.session.lock:
            self.asked[index] += 1
            unknown = self.holds or (self.asked[index] == 1 and index % 4 >= 2)
            answer = "unknown" if unknown else "commit" if commits(index) else "rollback"
            self.checks.append(view(m, 0, answer, self.session.now_ms()))
            if unknown:
                return TransactionResolution.TRANSACTION_RESOLUTION_UNSPECIFIED
            self.settled.add(index)
        return TransactionResolution.COMMIT if commits(index) else TransactionResolution.ROLLBACK

    def send_all(self, p):
        """All messages first, then the decisions: `transaction-held` waits for SIGTERM in between."""
        o = self.session.options
        if o.scenario == "transaction-heir":
            return True  # another program sent them
        self.holds = o.scenario == "transaction-held"
        started = {}

        def begin():
            started[index] = p.begin_transaction()  # of a failed try nobody knows whether it was stored
            return started[index]

        for index in itertools.takewhile(self.session.goes_on, itertools.count()):
            if not self.session.send(p, index, begin):
                return False
        self.session.progress()
        if self.holds:
            self.session.ended.wait()
        self.holds = False
        if o.producers > 1:
            self.session.producer()
        for index, transaction in started.items():
            self.decide(index, transaction)
        return True

    def decide(self, index, transaction):
        """What the broker does not answer is left to the checker."""
        if is_left(index):
            return
        time.sleep(self.session.options.work / 1000)
        try:
            transaction.commit() if commits(index) else transaction.rollback()
        except Exception as e:
            self.session.problem(f"decide {index}", e)
            return
        with self.session.lock:
            self.decided.append(index)
            self.settled.add(index)
