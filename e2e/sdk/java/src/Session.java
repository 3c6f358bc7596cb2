import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.client.apis.ClientConfiguration;
import org.apache.rocketmq.client.apis.ClientException;
import org.apache.rocketmq.client.apis.ClientServiceProvider;
import org.apache.rocketmq.client.apis.consumer.ConsumeResult;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;

/** What one run has seen so far, and the decisions about each delivery. */
final class Session {
    enum Verdict { ACK, FAIL, HIDE }

    /** What stops a consumer. */
    interface Stop {
        void run() throws Exception;
    }

    final Options options;
    final List<Map<String, Object>> sent = new ArrayList<>();
    final List<Map<String, Object>> received = new ArrayList<>();
    final List<String> errors = new ArrayList<>();
    final Set<Integer> acked = ConcurrentHashMap.newKeySet();
    int copies;
    int failures;
    volatile boolean stopped;
    private final long began = System.nanoTime();
    private final ClientServiceProvider provider = ClientServiceProvider.loadService();

    Session(Options options) {
        this.options = options;
    }

    long elapsedMs() {
        return (System.nanoTime() - began) / 1_000_000;
    }

    synchronized void problem(String what, Throwable error) {
        failures++;
        if (errors.size() < 20) {
            errors.add(what + ": " + error);
        }
    }

    private boolean ours(MessageView m) {
        return options.scenario.equals("receive") || options.run.equals(m.getProperties().get("run"));
    }

    private Verdict verdict(MessageView m) {
        boolean first = m.getDeliveryAttempt() <= 1;
        return switch (options.scenario) {
            case "redeliver" -> first && Messages.index(m) % 2 == 0 ? Verdict.FAIL : Verdict.ACK;
            case "change-invisible" -> first ? Verdict.HIDE : Verdict.ACK;
            case "dlq" -> m.getTopic().startsWith("%DLQ%") ? Verdict.ACK : Verdict.FAIL;
            default -> Verdict.ACK;
        };
    }

    /** Records one delivery and says what to do with it. Messages of other runs are only acknowledged. */
    private synchronized Verdict deliver(MessageView m) {
        if (!ours(m)) {
            return Verdict.ACK;
        }
        Verdict verdict = verdict(m);
        if (options.scenario.equals("stream")) {
            copies += acked.contains(Messages.index(m)) ? 1 : 0;
        } else {
            received.add(Messages.view(m, verdict.name().toLowerCase(), elapsedMs()));
        }
        return verdict;
    }

    synchronized int failed() {
        return (int) received.stream().filter(view -> view.get("verdict").equals("fail")).count();
    }

    private void done(MessageView m) {
        if (ours(m)) {
            acked.add(Messages.index(m));
        }
    }

    private ClientConfiguration config() {
        // 3 s is what the SDK has by itself; the matrix must not depend on how fast the machine is.
        Duration patience = Duration.ofSeconds(options.scenario.equals("stream") ? 3 : 5);
        return ClientConfiguration.newBuilder().setEndpoints(options.endpoint).enableSsl(options.tls)
            .setRequestTimeout(patience).build();
    }

    Producer producer() throws ClientException {
        return provider.newProducerBuilder().setClientConfiguration(config()).setTopics(options.topic).build();
    }

    /** Starts a consumer and returns what stops it. */
    Stop consumer(String topic, String group) throws ClientException {
        String expression = options.scenario.equals("tagfilter") ? "a || b" : "*";
        Map<String, FilterExpression> filter = Map.of(topic, new FilterExpression(expression));
        if (options.mode.equals("push")) {
            return provider.newPushConsumerBuilder().setClientConfiguration(config()).setConsumerGroup(group)
                .setSubscriptionExpressions(filter).setMessageListener(this::consume).build()::close;
        }
        SimpleConsumer c = provider.newSimpleConsumerBuilder().setClientConfiguration(config()).setConsumerGroup(group)
            .setSubscriptionExpressions(filter).setAwaitDuration(Duration.ofSeconds(3)).build();
        Thread loop = new Thread(() -> receiveAll(c));
        loop.setDaemon(true);
        loop.start();
        return c::close;
    }

    private ConsumeResult consume(MessageView m) {
        if (deliver(m) != Verdict.ACK) {
            return ConsumeResult.FAILURE;
        }
        done(m);
        return ConsumeResult.SUCCESS;
    }

    private void receiveAll(SimpleConsumer c) {
        Duration invisible = Duration.ofSeconds(options.scenario.equals("change-invisible") ? 60 : 10);
        while (!stopped) {
            try {
                for (MessageView m : c.receive(16, invisible)) {
                    settle(c, m);
                }
            } catch (Throwable e) {
                if (!stopped) {
                    problem("receive", e);
                    pause(100);
                }
            }
        }
    }

    private void settle(SimpleConsumer c, MessageView m) throws ClientException {
        switch (deliver(m)) {
            case ACK -> {
                c.ack(m);
                done(m);
            }
            case HIDE -> c.changeInvisibleDuration(m, Duration.ofSeconds(3));
            case FAIL -> { }
        }
    }

    boolean send(Producer p, int index) {
        try {
            String id = p.send(Messages.message(options, index)).getMessageId().toString();
            Map<String, Object> entry = new LinkedHashMap<>();
            entry.put("id", id);
            entry.put("index", index);
            synchronized (this) {
                sent.add(entry);
            }
            return true;
        } catch (Throwable e) {
            problem("send " + index, e);
            return false;
        }
    }

    static void pause(long ms) {
        try {
            Thread.sleep(ms);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
