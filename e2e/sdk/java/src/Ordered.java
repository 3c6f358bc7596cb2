import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import org.apache.rocketmq.client.apis.ClientException;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;

/** What the scenarios with message groups add: deliveries that fail, and several producers. */
final class Ordered {
    private final Session session;
    /** Deliveries of each message so far. */
    private final Map<Integer, Integer> seen = new HashMap<>();

    Ordered(Session session) {
        this.session = session;
    }

    /** The caller holds the session's lock. */
    void count(MessageView m) {
        seen.merge(Messages.index(m), 1, Integer::sum);
    }

    /** Whether a scenario wants this delivery to fail; it was counted. */
    boolean fails(MessageView m) {
        int index = Messages.index(m);
        return switch (session.options.scenario) {
            case "fifo-retry" -> index % 5 == 2 && seen.get(index) == 1;
            case "stuck" -> index == stuckAt() && !m.getTopic().startsWith("%DLQ%");
            default -> false;
        };
    }

    /** The message that always fails: the third of the first message group. */
    private int stuckAt() {
        return 2 * session.options.groups;
    }

    private boolean isFirstOfStuck() {
        synchronized (session) {
            return session.options.scenario.equals("stuck") && seen.get(stuckAt()) == 1;
        }
    }

    /** Keeps the first delivery of the stuck message until all message groups but its own are done. */
    void hold() {
        Options o = session.options;
        if (isFirstOfStuck()) {
            session.await("acknowledged of other message groups", this::othersDone, o.count - o.count / o.groups);
        }
    }

    private int othersDone() {
        int groups = session.options.groups;
        return (int) session.acked.stream().filter(index -> index % groups != stuckAt() % groups).count();
    }

    /** Ends the lease of what failed soon. The stuck message is held first, and left alone the second time. */
    void giveBack(SimpleConsumer c, MessageView m) throws ClientException {
        if (session.options.scenario.equals("fifo-retry")) {
            c.changeInvisibleDuration(m, Duration.ofSeconds(1));
        } else if (isFirstOfStuck()) {
            c.changeInvisibleDuration(m, Duration.ofMinutes(1));
            CompletableFuture.runAsync(() -> {
                hold();
                try {
                    c.changeInvisibleDuration(m, Duration.ofSeconds(1));
                } catch (ClientException | RuntimeException e) {
                    session.problem("change invisible", e);
                }
            });
        }
    }

    /**
     * Sends each message group's messages one after the other, by several producers at a time. It goes on until every
     * consumer has had a message, so that they are seen to share the work.
     */
    boolean sendInTurn(Producer first) throws Exception {
        double deadlineMs = session.elapsedMs() + session.options.timeout * 1000;
        List<Producer> producers = new ArrayList<>(List.of(first));
        while (producers.size() < session.options.producers) {
            producers.add(session.producer());
        }
        List<CompletableFuture<Boolean>> running = new ArrayList<>();
        for (int n = 0; n < producers.size(); n++) {
            int mine = n;
            running.add(CompletableFuture.supplyAsync(() -> sendGroups(producers.get(mine), mine, deadlineMs),
                task -> new Thread(task).start()));
        }
        boolean ok = true;
        for (CompletableFuture<Boolean> one : running) {
            ok &= one.get();
        }
        return ok;
    }

    private boolean flows() {
        return session.options.pace > 0 && !session.ended;
    }

    private boolean sendGroups(Producer p, int n, double deadlineMs) {
        Options o = session.options;
        for (int round = 0; round < o.count / o.groups || session.took.size() < o.consumers || flows(); round++) {
            if (!flows() && session.elapsedMs() > deadlineMs) {
                return true; // who had nothing shows in the report
            }
            for (int group = n; group < o.groups; group += o.producers) {
                if (!session.send(p, round * o.groups + group)) {
                    return false;
                }
            }
            boolean enough = o.pace == 0 && round + 1 >= o.count / o.groups;
            if (enough && !session.await("acknowledged in turn", session.acked::size, session.sentCount())) {
                return false;
            }
        }
        return true;
    }
}
