// What the scenarios with message groups add: deliveries that fail, and several producers.
import { indexOf } from './messages.mjs';

export class Ordered {
  seen = new Map(); // deliveries of each message so far

  constructor(session) {
    this.session = session;
  }

  count(m) {
    this.seen.set(indexOf(m), (this.seen.get(indexOf(m)) ?? 0) + 1);
  }

  /** Whether a scenario wants this delivery to fail; it was counted. */
  fails(m) {
    const index = indexOf(m);
    const { scenario } = this.session.options;
    if (scenario === 'fifo-retry') return index % 5 === 2 && this.seen.get(index) === 1;
    return scenario === 'stuck' && index === this.stuckAt() && !m.topic.startsWith('%DLQ%');
  }

  /** The message that always fails: the third of the first message group. */
  stuckAt() {
    return 2 * this.session.options.groups;
  }

  isFirstOfStuck() {
    return this.session.options.scenario === 'stuck' && this.seen.get(this.stuckAt()) === 1;
  }

  /** Keeps the first delivery of the stuck message until all message groups but its own are done. */
  async hold() {
    const { count, groups } = this.session.options;
    if (!this.isFirstOfStuck()) return;
    const others = () => [...this.session.acked].filter((i) => i % groups !== this.stuckAt() % groups).length;
    await this.session.wait('acknowledged of other message groups', others, count - count / groups);
  }

  /** Ends the lease of what failed soon. The stuck message is held first, and left alone the second time. */
  async giveBack(c, m) {
    if (this.session.options.scenario === 'fifo-retry') {
      await c.changeInvisibleDuration(m, 1000);
    } else if (this.isFirstOfStuck()) {
      await c.changeInvisibleDuration(m, 60_000);
      this.hold()
        .then(() => c.changeInvisibleDuration(m, 1000))
        .catch((error) => this.session.problem('change invisible', error));
    }
  }

  /**
   * Sends each message group's messages one after the other, by several producers at a time. It goes on until every
   * consumer has had a message, so that they are seen to share the work.
   */
  async sendInTurn(first) {
    const { producers, timeout } = this.session.options;
    const deadline = performance.now() + timeout * 1000;
    const all = [first];
    while (all.length < producers) all.push(await this.session.producer());
    const done = await Promise.all(all.map((p, n) => this.sendGroups(p, n, deadline)));
    return done.every(Boolean);
  }

  async sendGroups(p, n, deadline) {
    const { count, groups, producers, consumers, pace } = this.session.options;
    const { acked, sent, took } = this.session;
    const flows = () => pace > 0 && !this.session.ended;
    for (let round = 0; round < count / groups || took.size < consumers || flows(); round++) {
      if (!flows() && performance.now() > deadline) return true; // who had nothing shows in the report
      for (let group = n; group < groups; group += producers) {
        if (!await this.session.send(p, round * groups + group)) return false;
      }
      const enough = pace === 0 && round + 1 >= count / groups;
      if (enough && !await this.session.wait('acknowledged in turn', () => acked.size, sent.length)) return false;
    }
    return true;
  }
}
