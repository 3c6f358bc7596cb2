#!/usr/bin/env python3
"""Writes docs/benchmarks.md from the JSON lines of compare.sh: medians, ratios, and what we set out to reach."""
import json, os, platform, statistics, sys

folder = sys.argv[1]


def load(name):
    rows = {}
    path = os.path.join(folder, name + ".jsonl")
    for line in open(path) if os.path.exists(path) else []:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        rows.setdefault(row.get("label"), []).append(row)
    return rows


SERVERS = {name: load(name) for name in ("peer-async", "ours-async", "peer-sync", "ours-sync", "empty")}


def figure(server, label, key):
    values = []
    for row in SERVERS[server].get(label, []):
        for part in key.split("."):
            row = row.get(part) if isinstance(row, dict) else None
        if isinstance(row, (int, float)):
            values.append(row)
    return statistics.median(values) if values else None


def number(value):
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def row(title, flush, label, key, goal, scale=1.0, at_least=None, at_most=None, below=None):
    """goal: text; at_least/at_most: ratio ours/peer; below: absolute limit of ours."""
    peer, ours = figure(f"peer-{flush}", label, key), figure(f"ours-{flush}", label, key)
    ratio = ours / peer if peer and ours is not None else None
    verdict = "–"
    if ours is not None and below is not None:
        verdict = "yes" if ours * scale < below else "no"
    elif ratio is not None:
        verdict = "yes" if (at_least is None or ratio >= at_least) and (at_most is None or ratio <= at_most) else "no"
    if not goal:
        verdict = ""
    show = lambda v: number(None if v is None else v * scale)
    print(f"| {title} | {show(peer)} | {show(ours)} | {'–' if ratio is None else f'{ratio:.2f}'} | {goal} | {verdict} |")


def rate(label, flush="async"):
    return "achieved_per_s" if label.startswith("e2e") else "msgs_per_s"


cpu = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), platform.machine())
print(f"""# Benchmarks

Apache RocketMQ 5.5.0 (name server + proxy with embedded broker, 3 GB heap, warmed up) and Millpond in turn, one run of
`make bench-peer`: the same load generator (`e2e/peer/load`), 1 KiB bodies, 8 queues, one copy, loopback, generator and
server on the same {os.cpu_count()} cores ({cpu}, Linux {platform.release()}). Medians where a case ran more than once.
CPU is the server's, in seconds per 100,000 messages. *Ratio* is Millpond ÷ RocketMQ in this run; *reached* compares it
with the goal. Figures of other machines differ; the ratios are what to look at.

| Figure | RocketMQ | Millpond | Ratio | Goal | Reached |
|---|--:|--:|--:|---|---|""")
CPU = "server_cpu_s_per_100k"
for callers, times in ((1, 2), (32, 3), (256, 3)):
    row(f"send, {callers} caller{'s' * (callers > 1)}: msg/s", "async", f"send-c{callers}", "msgs_per_s", f"≥ {times}x", at_least=times)
    if callers == 1:
        row("send, 1 caller: p99 ms", "async", "send-c1", "rtt_us.p99", "≤ 1/2", scale=1e-3, at_most=0.5)
    else:
        row(f"send, {callers} callers: CPU s", "async", f"send-c{callers}", CPU, "≤ 1/5", at_most=0.2)
        row(f"send, {callers} callers: p99 ms", "async", f"send-c{callers}", "rtt_us.p99", "", scale=1e-3)
row("send, 32 callers × 32 messages a request: msg/s", "async", "send-b32", "msgs_per_s", "≥ 2.5x", at_least=2.5)
row("send, 32 callers × 32 messages a request: CPU s", "async", "send-b32", CPU, "≤ 1/5", at_most=0.2)
row("receive + ack one by one: msg/s", "async", "recv-c32", "msgs_per_s", "≥ 3x", at_least=3)
row("receive + ack one by one: CPU s", "async", "recv-c32", CPU, "≤ 1/5", at_most=0.2)
row("receive + ack 32 at a time: msg/s", "async", "recv-c32-ab32", "msgs_per_s", "≥ 3x", at_least=3)
row("receive + ack 32 at a time: CPU s", "async", "recv-c32-ab32", CPU, "≤ 1/5", at_most=0.2)
for label, text in (("e2e-1k", "1,000"), ("e2e-5k", "5,000")):
    row(f"end to end at {text} msg/s: p50 ms", "async", label, "e2e_us.p50", "< 1 ms", scale=1e-3, below=1)
    row(f"end to end at {text} msg/s: p99 ms", "async", label, "e2e_us.p99", "< 2 ms", scale=1e-3, below=2)
    row(f"end to end at {text} msg/s: CPU s", "async", label, CPU, "")
row("resident, idle: MB", "async", "idle-fresh", "server_rss_mb", "≤ 40", below=40.5)
row("resident after load, anonymous: MB", "async", "idle-after-load", "server_rss_anon_mb", "≤ 120", below=120.5)
row("idle CPU: % of a core", "async", "idle-after-load", "idle_cpu_pct", "")
row("start to first accepted send: s", "async", "cold-start", "first_send_ms", "< 0.3 s", scale=1e-3, below=0.3)
row("restart after `kill -9` under load to first accepted send: s", "async", "crash-restart", "first_send_ms", "< 1 s", scale=1e-3, below=1)
for callers, times in ((1, 2), (32, 3), (256, 2.5)):
    row(f"`flush: Sync`, send, {callers} caller{'s' * (callers > 1)}: msg/s", "sync", f"send-c{callers}", "msgs_per_s", f"≥ {times}x", at_least=times)
row("`flush: Sync`, end to end at 1,000 msg/s: p50 ms", "sync", "e2e-1k", "e2e_us.p50", "< 1.5 ms", scale=1e-3, below=1.5)
row("`flush: Sync`, end to end at 1,000 msg/s: p99 ms", "sync", "e2e-1k", "e2e_us.p99", "< 4 ms", scale=1e-3, below=4)

print("\n| Figure | RocketMQ | Millpond | Goal |\n|---|--:|--:|---|")


def share(server):
    first, peak = figure(server, "first-5s", "msgs_per_s"), figure(server, "send-c32", "msgs_per_s")
    return f"{100 * first / peak:.0f} %" if first and peak else "–"


print(f"| sends in the first 5 s after a start, share of the later rate | {share('peer-async')} | {share('ours-async')} | ≥ 90 % |")
created = figure("ours-async", "topics-10k", "create_ms")
print(f"| create 10,000 topics of 8 queues through the admin API: s | 69 (measured apart) | {number(None if created is None else created / 1000)} | < 2 s |")

if SERVERS["empty"]:
    print("\n| Beside an empty gRPC server on the same framing | empty: msg/s | Millpond: msg/s | Share | Goal |\n|---|--:|--:|--:|---|")
for callers in (1, 32, 256) if SERVERS["empty"] else ():
    empty, ours = figure("empty", f"send-c{callers}", "msgs_per_s"), figure("ours-async", f"send-c{callers}", "msgs_per_s")
    part = f"{100 * ours / empty:.0f} %" if empty and ours else "–"
    print(f"| send, {callers} caller{'s' * (callers > 1)} | {number(empty)} | {number(ours)} | {part} | ≥ 70 % |")
noise = [r.get("other_cores") for s in SERVERS.values() for rows in s.values() for r in rows if isinstance(r.get("other_cores"), (int, float))]
if noise:
    print(f"\nCores kept busy by anything else while a case ran: median {statistics.median(noise):.2f}, most {max(noise):.2f}.")
