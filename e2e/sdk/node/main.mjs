// One program of the SDK matrix: the official Node.js SDK, unmodified, against any RocketMQ 5 endpoint.
// Command line, scenarios and output are the same in every language: see ../README.md.
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { indexOf, isRecalled, message, tagOf, view } from './messages.mjs';
import { Ordered } from './ordered.mjs';
import { stream } from './stream.mjs';
import { Transactions, commits } from './transactions.mjs';

const require = createRequire(import.meta.url);
const { ConsumeResult, FilterExpression, Producer, PushConsumer, SimpleConsumer } = require('rocketmq-client-nodejs');
const { FilterType } = require('rocketmq-client-nodejs/proto/apache/rocketmq/v2/definition_pb');
const { version } = require('rocketmq-client-nodejs/package.json');

const ACK = 'ack', FAIL = 'fail', HIDE = 'hide';
const quiet = { info() {}, warn() {}, error() {}, debug() {}, close() {} };

/** What one run has seen so far, and the decisions about each delivery. */
class Session {
  sent = [];
  received = [];
  errors = [];
  confirmed = []; // acknowledgements that the broker answered
  acked = new Set();
  took = new Set(); // consumers that have had a message
  refusals = []; // why what was taken back cannot be so again
  recalled = []; // delayed messages that were taken back
  ordered = new Ordered(this);
  transactions = new Transactions(this);
  copies = 0;
  failures = 0;
  stopped = false;
  ended = false; // SIGTERM came
  began = performance.now();
  beganMs = Date.now();

  constructor(options) {
    this.options = options;
  }

  problem(what, error) {
    this.failures += 1;
    if (this.errors.length < 20) this.errors.push(`${what}: ${error?.name}: ${error?.message ?? error}`);
  }

  ours(m) {
    return this.options.scenario === 'receive' || m.properties.get('run') === this.options.run;
  }

  nowMs() {
    return Math.round(performance.now() - this.began);
  }

  verdict(m) {
    const { scenario } = this.options;
    const first = m.deliveryAttempt <= 1;
    if (this.ordered.fails(m)) return FAIL;
    if (scenario === 'redeliver' && indexOf(m) % 2 === 0 && first) return FAIL;
    if (scenario === 'change-invisible' && first) return HIDE;
    if (scenario === 'dlq' && !m.topic.startsWith('%DLQ%')) return FAIL;
    return ACK;
  }

  /**
   * Records one delivery and says what to do with it. Messages of other runs are only acknowledged. What is behind a
   * message that failed fails with it.
   */
  deliver(m, consumer, behind) {
    if (!this.ours(m)) return ACK;
    this.took.add(consumer);
    this.ordered.count(m);
    const verdict = behind ? FAIL : this.verdict(m);
    if (this.options.scenario === 'stream') this.copies += this.acked.has(indexOf(m)) ? 1 : 0;
    if (this.reports()) this.received.push(view(m, consumer, verdict, this.nowMs()));
    return verdict;
  }

  /** Whether the report has every message. */
  reports() {
    return this.options.scenario !== 'stream' || this.options.groups > 0;
  }

  /**
   * It was acknowledged (simple) or is about to be (push). Where brokers are killed an acknowledgement whose answer got lost
   * may count, and then the message does not come again.
   */
  done(m, isAnswered) {
    if (!isAnswered && this.options.pace === 0 && this.options.scenario !== 'stream') return;
    // For what is taken back nobody waits.
    if (!this.ours(m) || isRecalled(this.options, indexOf(m))) return;
    this.acked.add(indexOf(m));
    const { groups, mode } = this.options;
    if (isAnswered && mode === 'simple' && groups > 0) {
      this.confirmed.push({ index: indexOf(m), offset: m.offset, atMs: this.nowMs() });
    }
  }

  config() {
    const { endpoint, tls } = this.options;
    return { endpoints: endpoint, namespace: '', sslEnabled: tls, logger: quiet, requestTimeout: 5000 };
  }

  async producer() {
    const checker = this.decides() ? this.transactions : undefined;
    const p = new Producer({ ...this.config(), topics: [this.options.topic], checker });
    await p.startup();
    return p;
  }

  filter() {
    const { expression, scenario } = this.options;
    if (scenario === 'sqlfilter') return new FilterExpression(expression, FilterType.SQL);
    return scenario === 'tagfilter' ? 'a || b' : '*';
  }

  /** Starts the consumers and returns what stops them. */
  async consumers(topic, consumerGroup) {
    const stops = [];
    for (let n = 0; n < this.options.consumers; n++) stops.push(await this.consumer(topic, consumerGroup, n));
    return async () => {
      for (const stop of stops) await stop();
    };
  }

  async consumer(topic, consumerGroup, number) {
    const subscriptions = new Map([[topic, this.filter()]]);
    if (this.options.mode === 'push') {
      const consume = async (m) => {
        if (this.deliver(m, number, false) !== ACK) {
          await this.ordered.hold();
          return ConsumeResult.FAILURE;
        }
        await sleep(this.options.work);
        this.done(m, true);
        return ConsumeResult.SUCCESS;
      };
      const c = new PushConsumer({
        ...this.config(), consumerGroup, subscriptions, messageListener: { consume },
        enableFifoConsumeAccelerator: this.options.groups > 0,
      });
      await c.startup();
      return () => c.shutdown();
    }
    const c = new SimpleConsumer({ ...this.config(), consumerGroup, subscriptions, awaitDuration: 3000 });
    await c.startup();
    const loop = this.receiveAll(c, number);
    return async () => {
      await loop;
      await c.shutdown();
    };
  }

  async receiveAll(c, number) {
    // What is behind the stuck message in a reply would use up its attempts with it.
    const most = this.options.scenario === 'stuck' ? 1 : 16;
    const invisible = this.options.scenario === 'change-invisible' ? 60_000 : 10_000;
    while (!this.stopped) {
      try {
        const failed = new Set();
        for (const m of await c.receive(most, invisible)) await this.settleOne(c, m, number, failed);
      } catch (error) {
        if (this.stopped) return;
        this.problem('receive', error);
        await sleep(100);
      }
    }
  }

  /** `failed` has the message groups of which something in this reply failed. */
  async settleOne(c, m, number, failed) {
    const verdict = this.deliver(m, number, this.options.groups > 0 && failed.has(m.messageGroup));
    if (verdict === ACK) {
      await sleep(this.options.work);
      try {
        await c.ack(m);
      } catch (error) {
        this.done(m, false);
        throw error;
      }
      this.done(m, true);
    } else if (verdict === HIDE) {
      await c.changeInvisibleDuration(m, 3000);
    } else {
      failed.add(m.messageGroup);
      await this.ordered.giveBack(c, m);
    }
  }

  /** Whether the scenario is one with transactions. */
  decides() {
    return this.options.scenario.startsWith('transaction');
  }

  progress() {
    const counts = `acknowledged=${this.sent.length} received=${this.acked.size} failures=${this.failures}`;
    process.stderr.write(`progress ${counts}\n`);
  }

  /** Takes a message back; a second time it is too late. */
  async recall(p, index, handle) {
    try {
      await p.recallMessage(this.options.topic, handle);
      this.recalled.push(index);
    } catch (error) {
      this.problem(`recall ${index}`, error);
      return;
    }
    const again = await p.recallMessage(this.options.topic, handle).catch((error) => error.message);
    if (typeof again === 'string') this.refusals.push(again);
    else this.problem(`recall ${index}`, new Error('done twice'));
  }

  /** With a pace until it is acknowledged, and then the next one waits. `begin` begins its transaction. */
  async send(p, index, begin) {
    const { pace, timeout } = this.options;
    const atMs = this.nowMs();
    const m = message(this.options, index);
    while (!await this.sendOnce(p, index, m, atMs, begin)) {
      if (pace === 0 || this.nowMs() > atMs + timeout * 1000) return false;
      await sleep(100);
    }
    if (pace > 0) {
      this.progress();
      await sleep(pace);
    }
    return true;
  }

  async sendOnce(p, index, m, atMs, begin) {
    try {
      const { messageId: id, transactionId, recallHandle } = await p.send(m, begin?.());
      const dueMs = m.deliveryTimestamp?.getTime();
      if (isRecalled(this.options, index)) await this.recall(p, index, recallHandle);
      this.sent.push({ id, index, transaction: transactionId, dueMs, atMs, ackedMs: this.nowMs() });
      return true;
    } catch (error) {
      this.problem(`send ${index}`, error);
      return false;
    }
  }

  /** How often all messages were sent: more than once only with a pace. */
  rounds() {
    return Math.max(1, Math.floor(this.sent.length / this.options.count));
  }

  /** Whether this message is to be sent: after all messages of a round, and with a pace, SIGTERM is the end. */
  goesOn(index) {
    const { count, pace } = this.options;
    return index < count || (pace > 0 && (index % count !== 0 || !this.ended));
  }

  expected() {
    const { expect, scenario } = this.options;
    const count = this.options.count * this.rounds();
    if (scenario === 'sqlfilter') return expect * this.rounds();
    if (scenario.startsWith('fifo')) return this.sent.length;
    const all = Array.from({ length: count }, (_, i) => i);
    if (scenario === 'delay') return all.filter((i) => !isRecalled(this.options, i)).length;
    if (this.decides()) return all.filter(commits).length;
    if (scenario !== 'tagfilter') return count;
    return all.filter((i) => ['a', 'b'].includes(tagOf('tagfilter', i))).length;
  }

  /** Their topic comes into being with the first of them, when the last lease has run out. */
  async consumerOfDeadLetters() {
    const { group } = this.options;
    for (let left = 19; ; left--) {
      await sleep(1000);
      try {
        return await this.consumers(`%DLQ%${group}`, `${group}-dlq`);
      } catch (error) {
        if (left === 0) throw error;
      }
    }
  }

  async wait(what, count, enough) {
    const deadline = performance.now() + this.options.timeout * 1000;
    while (count() < enough) {
      if (performance.now() > deadline) {
        this.problem('timeout', new Error(`${count()} of ${enough} ${what}`));
        return false;
      }
      await sleep(20);
    }
    return true;
  }

  /** Until everything is acknowledged, and then a little for what must not come. */
  async settle() {
    if (!await this.wait('acknowledged', () => this.acked.size, this.expected())) return false;
    const { scenario, count } = this.options;
    const all = count * this.rounds();
    if (this.decides() && !await this.wait('decided', () => this.transactions.settled.size, all)) return false;
    if (scenario === 'delay') await sleep(Math.max(...this.sent.map((m) => m.dueMs)) - Date.now());
    if (['tagfilter', 'delay'].includes(scenario) || this.decides()) await sleep(1000);
    return true;
  }

  /** Every scenario but `stream`: consumers first, then the messages, then wait for the end. */
  async play() {
    const { topic, group, scenario, mode, count, pace } = this.options;
    if (pace > 0 || scenario === 'transaction-held') process.on('SIGTERM', () => { this.ended = true; });
    const stops = [];
    if (scenario !== 'send') stops.push(await this.consumers(topic, group));
    let ok = true;
    if (scenario !== 'receive') {
      const p = await this.producer();
      stops.push(() => p.shutdown());
      if (scenario.startsWith('fifo')) ok = await this.ordered.sendInTurn(p);
      else if (this.decides()) ok = await this.transactions.sendAll(p);
      else for (let i = 0; ok && this.goesOn(i); i++) ok = await this.send(p, i);
      if (scenario === 'delay') this.progress();
    }
    if (ok && scenario === 'stuck') {
      ok = await this.wait('acknowledged, the stuck one apart', () => this.acked.size, count - 1);
      stops.push(await this.consumerOfDeadLetters());
    }
    if (ok && scenario === 'dlq') {
      const failed = () => this.received.filter((r) => r.verdict === FAIL).length;
      // Some failures may be lost with a broker: what counts then is that they all end as dead letters.
      ok = pace > 0 || await this.wait('failed deliveries', failed, count * this.options.attempts);
      stops.push(await this.consumerOfDeadLetters());
    }
    ok = ok && (scenario === 'send' || await this.settle());
    this.stopped = true;
    // A push consumer waits for its running long polls: half a minute, so only where it is part of the test.
    if (mode === 'simple' || scenario === 'roundtrip') for (const stop of stops) await stop();
    return ok;
  }
}

function parse() {
  const text = (value) => ({ type: 'string', default: value });
  const { values: o } = parseArgs({
    options: {
      endpoint: text('127.0.0.1:8081'), topic: text(''), group: text(''), mode: text('simple'),
      scenario: text('roundtrip'), run: text(''), count: text('8'), rate: text('100'), largest: text(`${4 << 20}`), attempts: text('2'), timeout: text('60'),
      groups: text('0'), priorities: text('0'), producers: text('1'), consumers: text('1'), expression: text(''), expect: text('0'), work: text('0'), pace: text('0'),
      seconds: text('20'), drain: text('60'), tls: { type: 'boolean', default: false },
    },
  });
  const words = ['endpoint', 'topic', 'group', 'mode', 'scenario', 'run', 'expression', 'tls'];
  for (const name of Object.keys(o)) if (!words.includes(name)) o[name] = Number(o[name]);
  if (!o.topic || !o.group) {
    console.error('--topic and --group are required');
    process.exit(2);
  }
  o.run ||= `node-${process.pid}-${Date.now()}`;
  return o;
}

const options = parse();
const s = new Session(options);
const { scenario, mode, tls, run } = options;
const report = { sdk: 'node', version, scenario, mode, tls, run };
let ok = false;
try {
  ok = scenario === 'stream' ? await stream(s, report) : await s.play();
} catch (error) {
  s.problem('start', error);
}
if (s.reports()) {
  const { sent, received, confirmed, recalled, refusals, transactions: { decided, checks } } = s;
  Object.assign(report, { sent, received, confirmed, recalled, refusals, decided, checks });
}
Object.assign(report, { errors: s.errors, failures: s.failures, ok, beganMs: s.beganMs, elapsedMs: s.nowMs() });
process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit(ok ? 0 : 1));
