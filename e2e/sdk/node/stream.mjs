// The `stream` scenario: send and receive through any number of broker restarts; nothing acknowledged may be lost.
import { setTimeout as sleep } from 'node:timers/promises';

/** Until SIGTERM or the time limit; then until everything acknowledged has been received. */
export async function stream(session, report) {
  const { topic, group, drain } = session.options;
  const end = new AbortController();
  process.on('SIGTERM', () => end.abort());
  await session.consumers(topic, group);
  const longest = await flow(session, await session.producer(), end.signal);
  const deadline = performance.now() + drain * 1000;
  while (missing(session).length && performance.now() < deadline) await sleep(50);
  session.stopped = true;
  const lost = missing(session);
  Object.assign(report, {
    acknowledged: session.sent.length,
    distinct: session.acked.size,
    copies: session.copies,
    missing: lost,
    longestGapMs: Math.round(longest),
  });
  return lost.length === 0 && session.sent.length > 0;
}

/** Sends at the wanted rate and returns the longest time without an acknowledged send. */
async function flow(session, producer, ended) {
  const { rate, seconds } = session.options;
  const began = performance.now();
  let last = began, spoke = began, longest = 0;
  for (let index = 0; !ended.aborted && performance.now() < began + seconds * 1000; index++) {
    if (await session.send(producer, index)) {
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
    }
    if (performance.now() - spoke > 1000) {
      spoke = performance.now();
      session.progress();
    }
    await sleep(1000 / rate);
  }
  return longest;
}

function missing(session) {
  return session.sent.map((m) => m.index).filter((index) => !session.acked.has(index));
}
