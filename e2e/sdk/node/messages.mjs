// What is sent and how it is reported; the same rules in every language (see ../README.md).
import { createHash } from 'node:crypto';

const pattern = (size) => Buffer.alloc(size).map((_, j) => (j * 31 + 7) & 255);

// One byte, 1 KiB, not ASCII, the largest allowed, and two whose CRC32 begins with one and with two zero digits.
const awkward = [
  () => Buffer.from('x'),
  () => pattern(1024),
  () => Buffer.from('Grüße, 世界 🌍'),
  ({ largest }) => pattern(largest),
  () => Buffer.from('crc 31'),
  () => Buffer.from('crc 432'),
];

function body(options, index) {
  const special = ['roundtrip', 'send'].includes(options.scenario) ? awkward[index] : undefined;
  return special ? special(options) : Buffer.from(`message ${index}`);
}

export function tagOf(scenario, index) {
  return scenario === 'tagfilter' ? ['a', 'b', 'c', undefined][index % 4] : `t${index % 3}`;
}

export function message(options, index) {
  const { groups, priorities, scenario } = options;
  // A filter lets through the same of every round.
  const n = scenario === 'sqlfilter' ? index % options.count : index;
  const properties = new Map([['index', String(index)], ['run', options.run], ['note', 'Grüße, 世界']]);
  if (scenario === 'sqlfilter') {
    properties.set('price', String(n)).set('weight', `${n}.5`);
    if (n % 3 < 2) properties.set('region', ['eu', 'us'][n % 3]);
  }
  return {
    topic: options.topic,
    body: body(options, index),
    tag: tagOf(scenario, n),
    keys: [`k${index}`, 'schlüssel'],
    properties,
    deliveryTimestamp: scenario === 'delay' ? due(options, index) : undefined,
    messageGroup: groups > 0 ? `g${index % groups}` : undefined, // every groups-th message is of the same group
    priority: priorities > 0 ? 1 + index % priorities : undefined,
  };
}

/** The first message is due in the past, the others from 2 s on until all of `--seconds` later. */
function due({ count, seconds }, index) {
  const ahead = index === 0 ? -10_000 : 2000 + Math.floor((index * 37) % count * 1000 * seconds / count);
  return new Date(Date.now() + ahead);
}

export const isRecalled = ({ scenario }, index) => scenario === 'delay' && index % 5 === 3;

export const indexOf = (m) => Number(m.properties.get('index') ?? -1);

export function view(m, consumer, verdict, atMs) {
  return {
    id: m.messageId,
    topic: m.topic,
    index: indexOf(m),
    tag: m.tag || null,
    keys: m.keys,
    properties: Object.fromEntries(m.properties),
    group: m.messageGroup || null,
    priority: m.priority,
    offset: m.offset,
    consumer,
    attempt: m.deliveryAttempt,
    bytes: m.body.length,
    sha256: createHash('sha256').update(m.body).digest('hex'),
    verdict,
    atMs,
    dueMs: m.deliveryTimestamp?.getTime() ?? null,
    cameMs: Date.now(),
  };
}
