// What the scenarios with transactions add: their decisions, by the sender and by the checker.
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { indexOf, view } from './messages.mjs';

const require = createRequire(import.meta.url);
const { TransactionResolution } = require('rocketmq-client-nodejs/proto/apache/rocketmq/v2/definition_pb');

/** Whether message `index` is committed in the end, whoever decides. */
export const commits = (index) => index % 3 === 0 || index % 6 === 2;

/** Whether the sender leaves it to the checker. */
const isLeft = (index) => index % 3 === 2;

export class Transactions {
  decided = []; // messages that the sender decided: the broker answered
  checks = []; // what the checker was asked, and its answer as the verdict
  settled = new Set(); // messages that somebody decided
  asked = new Map();
  holds = false;

  constructor(session) {
    this.session = session;
  }

  /** At the first question about some messages the answer is not known. */
  async check(m) {
    const index = indexOf(m);
    this.asked.set(index, (this.asked.get(index) ?? 0) + 1);
    const isUnknown = this.holds || (this.asked.get(index) === 1 && index % 4 >= 2);
    const answer = isUnknown ? 'unknown' : commits(index) ? 'commit' : 'rollback';
    this.checks.push(view(m, 0, answer, this.session.nowMs()));
    if (isUnknown) return TransactionResolution.TRANSACTION_RESOLUTION_UNSPECIFIED;
    this.settled.add(index);
    return commits(index) ? TransactionResolution.COMMIT : TransactionResolution.ROLLBACK;
  }

  /** All messages first, then the decisions: `transaction-held` waits for SIGTERM in between. */
  async sendAll(p) {
    const { scenario, producers } = this.session.options;
    if (scenario === 'transaction-heir') return true; // another program sent them
    this.holds = scenario === 'transaction-held';
    const open = [];
    for (let index = 0; this.session.goesOn(index); index++) {
      // Of a failed try nobody knows whether it was stored.
      const begin = () => (open[index] = p.beginTransaction());
      if (!await this.session.send(p, index, begin)) return false;
    }
    this.session.progress();
    while (this.holds && !this.session.ended) await sleep(20);
    this.holds = false;
    if (producers > 1) await this.session.producer();
    for (const [index, transaction] of open.entries()) await this.decide(index, transaction);
    return true;
  }

  /** What the broker does not answer is left to the checker. */
  async decide(index, transaction) {
    if (isLeft(index)) return;
    await sleep(this.session.options.work);
    try {
      await (commits(index) ? transaction.commit() : transaction.rollback());
      this.decided.push(index);
      this.settled.add(index);
    } catch (error) {
      this.session.problem(`decide ${index}`, error);
    }
  }
}
