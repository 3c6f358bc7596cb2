"""What is sent and how it is reported; the same rules in every language (see ../README.md)."""

import hashlib
import math
import time

from rocketmq import Message

PATTERN = bytes((j * 31 + 7) & 255 for j in range(256))
AWKWARD = {
    0: b"x",
    1: PATTERN * 4,
    2: "Grüße, 世界 🌍".encode(),
    4: b"crc 31",
    5: b"crc 432",
}


def body(options, index):
    """One byte, 1 KiB, not ASCII, the largest allowed, and two whose CRC32 begins with zero digits; then plain."""
    if options.scenario in ("roundtrip", "send"):
        if index == 3:
            return (PATTERN * (options.largest // 256 + 1))[: options.largest]
        if index in AWKWARD:
            return AWKWARD[index]
    return f"message {index}".encode()


def tag(scenario, index):
    """The tag of message `index`, or None."""
    if scenario == "tagfilter":
        return ("a", "b", "c", None)[index % 4]
    return f"t{index % 3}"


def message(options, index):
    m = Message()
    m.topic = options.topic
    m.body = body(options, index)
    # A filter lets through the same of every round.
    n = index % options.count if options.scenario == "sqlfilter" else index
    if tag(options.scenario, n):
        m.tag = tag(options.scenario, n)
    m.keys = f"k{index}"  # assigning a key adds it
    m.keys = "schlüssel"
    m.add_property("index", str(index))
    m.add_property("run", options.run)
    m.add_property("note", "Grüße, 世界")
    if options.scenario == "sqlfilter":
        m.add_property("price", str(n))
        m.add_property("weight", f"{n}.5")
        if n % 3 < 2:
            m.add_property("region", ("eu", "us")[n % 3])
    if options.scenario == "delay":
        m.delivery_timestamp = due(options, index)
    if options.groups:
        m.message_group = f"g{index % options.groups}"  # every groups-th message is of the same group
    if options.priorities:
        m.priority = 1 + index % options.priorities
    return m


def due(options, index):
    """The first message is due in the past, the others from 2 s on until all of `--seconds` later; in whole seconds."""
    ahead = -10 if index == 0 else 2 + index * 37 % options.count * options.seconds / options.count
    return math.ceil(time.time() + ahead)


def is_recalled(options, index):
    return options.scenario == "delay" and index % 5 == 3


def index_of(m):
    return int((m.properties or {}).get("index", -1))


def view(m, consumer, verdict, at_ms):
    return {
        "id": m.message_id,
        "topic": m.topic,
        "index": index_of(m),
        "tag": m.tag or None,
        "keys": list(m.keys or []),
        "properties": dict(m.properties or {}),
        "group": m.message_group,
        "priority": m.priority,
        "consumer": consumer,
        "attempt": m.delivery_attempt,
        "bytes": len(m.body),
        "sha256": hashlib.sha256(m.body).hexdigest(),
        "verdict": verdict,
        "atMs": at_ms,
        "dueMs": m.delivery_timestamp or None,  # in seconds when it is set, in milliseconds when it is read
        "cameMs": time.time_ns() // 1_000_000,
        "type": m.message_type,
    }
