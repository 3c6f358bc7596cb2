"""The `stream` scenario: send and receive through any number of broker restarts; nothing acknowledged may be lost."""

import signal
import threading
import time


def stream(session, report):
    """Until SIGTERM or the time limit; then until everything acknowledged has been received."""
    o = session.options
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    session.consumers(o.topic, o.group)
    longest = flow(session, session.producer(), ended)
    deadline = time.monotonic() + o.drain
    while missing(session) and time.monotonic() < deadline:
        time.sleep(0.05)
    session.stopped.set()
    lost = missing(session)
    report |= {
        "acknowledged": len(session.sent),
        "distinct": len(session.acked),
        "copies": session.copies,
        "missing": lost,
        "longestGapMs": round(longest * 1000),
    }
    return not lost and bool(session.sent)


def flow(session, producer, ended):
    """Sends at the wanted rate and returns the longest time without an acknowledged send."""
    o = session.options
    began = last = spoke = time.monotonic()
    longest, index = 0.0, 0
    while not ended.is_set() and time.monotonic() < began + o.seconds:
        if session.send(producer, index):
            longest = max(longest, time.monotonic() - last)
            last = time.monotonic()
        index += 1
        if time.monotonic() - spoke > 1:
            spoke = time.monotonic()
            session.progress()
        ended.wait(1 / o.rate)
    return longest


def missing(session):
    with session.lock:
        return [m["index"] for m in session.sent if m["index"] not in session.acked]
