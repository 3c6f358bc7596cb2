// One program of the SDK matrix: the official Node.js SDK, unmodified, against any RocketMQ 5 endpoint.
// Command line, scenarios and output are the same in every language: see ../README.md.
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { indexOf, message, tagOf, view } from './messages.mjs';
import { stream } from './stream.mjs';

const require = createRequire(import.meta.url);
const { ConsumeResult, Producer, PushConsumer, SimpleConsumer } = require('rocketmq-client-nodejs');
const { version } = require('rocketmq-client-nodejs/package.json');

const ACK = 'ack', FAIL = 'fail', HIDE = 'hide';
const quiet = { info() {}, warn() {}, error() {}, debug() {}, close() {} };

/** What one run has seen so far, and the decisions about each delivery. */
class Session {
  sent = [];
  received = [];
  errors = [];
  acked = new Set();
  copies = 0;
  failures = 0;
  stopped = false;
  began = performance.now();

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

  verdict(m) {
    const { scenario } = this.options;
    const first = m.deliveryAttempt <= 1;
    if (scenario === 'redeliver' && indexOf(m) % 2 === 0 && first) return FAIL;
    if (scenario === 'change-invisible' && first) return HIDE;
    if (scenario === 'dlq' && !m.topic.startsWith('%DLQ%')) return FAIL;
    return ACK;
  }

  /** Records one delivery and says what to do with it. Messages of other runs are only acknowledged. */
  deliver(m) {
    if (!this.ours(m)) return ACK;
    const verdict = this.verdict(m);
    if (this.options.scenario === 'stream') this.copies += this.acked.has(indexOf(m)) ? 1 : 0;
    else this.received.push(view(m, verdict, Math.round(performance.now() - this.began)));
    return verdict;
  }

  done(m) {
    if (this.ours(m)) this.acked.add(indexOf(m));
  }

  config() {
    const { endpoint, tls } = this.options;
    return { endpoints: endpoint, namespace: '', sslEnabled: tls, logger: quiet, requestTimeout: 5000 };
  }

  async producer() {
    const p = new Producer({ ...this.config(), topics: [this.options.topic] });
    await p.startup();
    return p;
  }

  /** Starts a consumer and returns what stops it. */
  async consumer(topic, consumerGroup) {
    const subscriptions = new Map([[topic, this.options.scenario === 'tagfilter' ? 'a || b' : '*']]);
    if (this.options.mode === 'push') {
      const consume = async (m) => {
        if (this.deliver(m) !== ACK) return ConsumeResult.FAILURE;
        this.done(m);
        return ConsumeResult.SUCCESS;
      };
      const c = new PushConsumer({ ...this.config(), consumerGroup, subscriptions, messageListener: { consume } });
      await c.startup();
      return () => c.shutdown();
    }
    const c = new SimpleConsumer({ ...this.config(), consumerGroup, subscriptions, awaitDuration: 3000 });
    await c.startup();
    const loop = this.receiveAll(c);
    return async () => {
      await loop;
      await c.shutdown();
    };
  }

  async receiveAll(c) {
    const invisible = this.options.scenario === 'change-invisible' ? 60_000 : 10_000;
    while (!this.stopped) {
      try {
        for (const m of await c.receive(16, invisible)) await this.settleOne(c, m);
      } catch (error) {
        if (this.stopped) return;
        this.problem('receive', error);
        await sleep(100);
      }
    }
  }

  async settleOne(c, m) {
    const verdict = this.deliver(m);
    if (verdict === ACK) {
      await c.ack(m);
      this.done(m);
    } else if (verdict === HIDE) {
      await c.changeInvisibleDuration(m, 3000);
    }
  }

  async send(p, index) {
    try {
      const receipt = await p.send(message(this.options, index));
      this.sent.push({ id: receipt.messageId, index });
      return true;
    } catch (error) {
      this.problem(`send ${index}`, error);
      return false;
    }
  }

  expected() {
    const all = Array.from({ length: this.options.count }, (_, i) => i);
    if (this.options.scenario !== 'tagfilter') return all.length;
    return all.filter((i) => ['a', 'b'].includes(tagOf('tagfilter', i))).length;
  }

  /** Their topic comes into being with the first of them, when the last lease has run out. */
  async consumerOfDeadLetters() {
    const { group } = this.options;
    for (let left = 19; ; left--) {
      await sleep(1000);
      try {
        return await this.consumer(`%DLQ%${group}`, `${group}-dlq`);
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
    if (this.options.scenario === 'tagfilter') await sleep(1000);
    return true;
  }

  /** Every scenario but `stream`: consumers first, then the messages, then wait for the end. */
  async play() {
    const { topic, group, scenario, mode, count } = this.options;
    const stops = [];
    if (scenario !== 'send') stops.push(await this.consumer(topic, group));
    let ok = true;
    if (scenario !== 'receive') {
      const p = await this.producer();
      stops.push(() => p.shutdown());
      for (let i = 0; ok && i < count; i++) ok = await this.send(p, i);
    }
    if (ok && scenario === 'dlq') {
      const failed = () => this.received.filter((r) => r.verdict === FAIL).length;
      ok = await this.wait('failed deliveries', failed, count * this.options.attempts);
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
      seconds: text('20'), drain: text('60'), tls: { type: 'boolean', default: false },
    },
  });
  for (const name of ['count', 'rate', 'largest', 'attempts', 'timeout', 'seconds', 'drain']) o[name] = Number(o[name]);
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
if (scenario !== 'stream') Object.assign(report, { sent: s.sent, received: s.received });
Object.assign(report, { errors: s.errors, failures: s.failures, ok });
report.elapsedMs = Math.round(performance.now() - s.began);
process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit(ok ? 0 : 1));
