import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.IntSupplier;
import org.apache.rocketmq.client.apis.ClientConfiguration;
import org.apache.rocketmq.client.apis.ClientException;
import org.apache.rocketmq.client.apis.ClientServiceProvider;
import org.apache.rocketmq.client.apis.consumer.ConsumeResult;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.consumer.FilterExpressionType;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.Message;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;
import org.apache.rocketmq.client.apis.producer.ProducerBuilder;
import org.apache.rocketmq.client.apis.producer.SendReceipt;
import org.apache.rocketmq.client.java.impl.producer.SendReceiptImpl;

/** What one run has seen so far, and the decisions about each delivery. */
final class Session {
    enum Verdict { ACK, FAIL, HIDE }

    /** What stops a consumer. */
    interface Stop {
        void run() throws Exception;
    }

    /** How a message is sent. */
    interface Sending {
        SendReceipt run(Message message) throws Exception;
    }

    final Options options;
    final List<Map<String, Object>> sent = new ArrayList<>();
    final List<Map<String, Object>> received = new ArrayList<>();
    final List<String> errors = new ArrayList<>();
    /** Acknowledgements that the broker answered. */
    final List<Map<String, Object>> confirmed = new ArrayList<>();
    /** Delayed messages that were taken back. */
    final Set<Integer> recalled = ConcurrentHashMap.newKeySet();
    /** Why what was taken back cannot be so again. */
    final List<String> refusals = new ArrayList<>();
    final Set<Integer> acked = ConcurrentHashMap.newKeySet();
    /** Consumers that have had a message. */
    final Set<Integer> took = ConcurrentHashMap.newKeySet();
    final Ordered ordered = new Ordered(this);
    final Transactions transactions = new Transactions(this);
    final long beganMs = System.currentTimeMillis();
    int copies;
    int failures;
    volatile boolean stopped;
    /** SIGTERM came. */
    volatile boolean ended;
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
            StringBuilder text = new StringBuilder(what + ": " + error);
            for (Throwable cause = error.getCause(); cause != null; cause = cause.getCause()) {
                text.append(", because of ").append(cause);
            }
            errors.add(text.toString());
        }
    }

    private boolean ours(MessageView m) {
        return options.scenario.equals("receive") || options.run.equals(m.getProperties().get("run"));
    }

    private Verdict verdict(MessageView m) {
        boolean first = m.getDeliveryAttempt() <= 1;
        if (ordered.fails(m)) {
            return Verdict.FAIL;
        }
        return switch (options.scenario) {
            case "redeliver" -> first && Messages.index(m) % 2 == 0 ? Verdict.FAIL : Verdict.ACK;
            case "change-invisible" -> first ? Verdict.HIDE : Verdict.ACK;
            case "dlq" -> m.getTopic().startsWith("%DLQ%") ? Verdict.ACK : Verdict.FAIL;
            default -> Verdict.ACK;
        };
    }

    /**
     * Records one delivery and says what to do with it. Messages of other runs are only acknowledged. What is behind a
     * message that failed fails with it.
     */
    private synchronized Verdict deliver(MessageView m, int consumer, boolean behind) {
        if (!ours(m)) {
            return Verdict.ACK;
        }
        took.add(consumer);
        ordered.count(m);
        Verdict verdict = behind ? Verdict.FAIL : verdict(m);
        if (options.scenario.equals("stream")) {
            copies += acked.contains(Messages.index(m)) ? 1 : 0;
        }
        if (reports()) {
            received.add(Messages.view(m, consumer, verdict.name().toLowerCase(), elapsedMs()));
        }
        return verdict;
    }

    /** Whether the report has every message. */
    boolean reports() {
        return !options.scenario.equals("stream") || options.groups > 0;
    }

    synchronized int sentCount() {
        return sent.size();
    }

    /** How often all messages were sent: more than once only with a pace. */
    int rounds() {
        return Math.max(1, sentCount() / options.count);
    }

    /** Whether this message is to be sent: after all messages of a round, and with a pace, SIGTERM is the end. */
    boolean goesOn(int index) {
        return index < options.count || options.pace > 0 && (index % options.count != 0 || !ended);
    }

    synchronized int failed() {
        return (int) received.stream().filter(view -> view.get("verdict").equals("fail")).count();
    }

    /**
     * It was acknowledged (simple) or is about to be (push). Where brokers are killed an acknowledgement whose answer got lost
     * may count, and then the message does not come again.
     */
    private void done(MessageView m, boolean isAnswered) {
        if (!isAnswered && options.pace == 0 && !options.scenario.equals("stream")) {
            return;
        }
        // For what is taken back nobody waits.
        if (ours(m) && !Messages.isRecalled(options, Messages.index(m))) {
            acked.add(Messages.index(m));
            if (isAnswered && options.mode.equals("simple") && options.groups > 0) {
                synchronized (this) {
                    confirmed.add(Map.of("index", Messages.index(m), "offset", Messages.offset(m), "atMs", elapsedMs()));
                }
            }
        }
    }

    private ClientConfiguration config() {
        // 3 s is what the SDK has by itself; the matrix must not depend on how fast the machine is.
        Duration patience = Duration.ofSeconds(options.scenario.equals("stream") ? 3 : 5);
        return ClientConfiguration.newBuilder().setEndpoints(options.endpoint).enableSsl(options.tls)
            .setRequestTimeout(patience).build();
    }

    Producer producer() throws ClientException {
        ProducerBuilder builder = provider.newProducerBuilder().setClientConfiguration(config()).setTopics(options.topic);
        boolean decides = options.scenario.startsWith("transaction");
        return (decides ? builder.setTransactionChecker(transactions::check) : builder).build();
    }

    private FilterExpression expression() {
        return switch (options.scenario) {
            case "tagfilter" -> new FilterExpression("a || b");
            case "sqlfilter" -> new FilterExpression(options.expression, FilterExpressionType.SQL92);
            default -> new FilterExpression("*");
        };
    }

    /** Starts the consumers and returns what stops them. */
    Stop consumers(String topic, String group) throws ClientException {
        List<Stop> stops = new ArrayList<>();
        for (int consumer = 0; consumer < options.consumers; consumer++) {
            stops.add(consumer(topic, group, consumer));
        }
        return () -> {
            for (Stop stop : stops) {
                stop.run();
            }
        };
    }

    private Stop consumer(String topic, String group, int consumer) throws ClientException {
        Map<String, FilterExpression> filter = Map.of(topic, expression());
        if (options.mode.equals("push")) {
            return provider.newPushConsumerBuilder().setClientConfiguration(config()).setConsumerGroup(group)
                .setEnableFifoConsumeAccelerator(options.groups > 0)
                .setSubscriptionExpressions(filter).setMessageListener(m -> consume(m, consumer)).build()::close;
        }
        SimpleConsumer c = provider.newSimpleConsumerBuilder().setClientConfiguration(config()).setConsumerGroup(group)
            .setSubscriptionExpressions(filter).setAwaitDuration(Duration.ofSeconds(3)).build();
        Thread loop = new Thread(() -> receiveAll(c, consumer));
        loop.setDaemon(true);
        loop.start();
        return c::close;
    }

    private ConsumeResult consume(MessageView m, int consumer) {
        if (deliver(m, consumer, false) != Verdict.ACK) {
            ordered.hold();
            return ConsumeResult.FAILURE;
        }
        pause(options.work);
        done(m, true);
        return ConsumeResult.SUCCESS;
    }

    private void receiveAll(SimpleConsumer c, int consumer) {
        // What is behind the stuck message in a reply would use up its attempts with it.
        int most = options.scenario.equals("stuck") ? 1 : 16;
        Duration invisible = Duration.ofSeconds(options.scenario.equals("change-invisible") ? 60 : 10);
        while (!stopped) {
            try {
                Set<String> failed = new HashSet<>();
                for (MessageView m : c.receive(most, invisible)) {
                    settle(c, m, consumer, failed);
                }
            } catch (Throwable e) {
                if (!stopped) {
                    problem("receive", e);
                    pause(100);
                }
            }
        }
    }

    /** `failed` has the message groups of which something in this reply failed. */
    private void settle(SimpleConsumer c, MessageView m, int consumer, Set<String> failed) throws ClientException {
        String group = m.getMessageGroup().orElse("");
        switch (deliver(m, consumer, options.groups > 0 && failed.contains(group))) {
            case ACK -> {
                pause(options.work);
                try {
                    c.ack(m);
                } catch (ClientException | RuntimeException e) {
                    // The SDK hands on what gRPC says as it is, which is no ClientException.
                    done(m, false);
                    throw e;
                }
                done(m, true);
            }
            case HIDE -> c.changeInvisibleDuration(m, Duration.ofSeconds(3));
            case FAIL -> {
                failed.add(group);
                ordered.giveBack(c, m);
            }
        }
    }

    boolean send(Producer p, int index) {
        return send(index, message -> {
            SendReceipt receipt = p.send(message);
            if (Messages.isRecalled(options, index)) {
                recall(p, index, receipt.getRecallHandle());
            }
            return receipt;
        });
    }

    /** Takes a message back; a second time it is too late. */
    private void recall(Producer p, int index, String handle) {
        try {
            p.recallMessage(options.topic, handle);
            recalled.add(index);
        } catch (Throwable e) {
            problem("recall " + index, e);
            return;
        }
        try {
            p.recallMessage(options.topic, handle);
            problem("recall " + index, new IllegalStateException("done twice"));
        } catch (Throwable e) {
            refusals.add(e.toString());
        }
    }

    /** With a pace until it is acknowledged, and then the next one waits. */
    boolean send(int index, Sending how) {
        long atMs = elapsedMs();
        Message message = Messages.message(options, index);
        while (!send(index, message, atMs, how)) {
            if (options.pace == 0 || elapsedMs() > atMs + options.timeout * 1000) {
                return false;
            }
            pause(100);
        }
        if (options.pace > 0) {
            progress();
            pause(options.pace);
        }
        return true;
    }

    private boolean send(int index, Message message, long atMs, Sending how) {
        try {
            SendReceipt receipt = how.run(message);
            Map<String, Object> entry = new LinkedHashMap<>();
            entry.put("id", receipt.getMessageId().toString());
            entry.put("index", index);
            entry.put("transaction", ((SendReceiptImpl) receipt).getTransactionId());
            entry.put("dueMs", message.getDeliveryTimestamp().orElse(null));
            entry.put("atMs", atMs);
            entry.put("ackedMs", elapsedMs());
            synchronized (this) {
                sent.add(entry);
            }
            return true;
        } catch (Throwable e) {
            problem("send " + index, e);
            return false;
        }
    }

    boolean await(String what, IntSupplier count, int enough) {
        double deadline = elapsedMs() + options.timeout * 1000;
        while (count.getAsInt() < enough) {
            if (elapsedMs() > deadline) {
                String text = count.getAsInt() + " of " + enough + " " + what;
                problem("timeout", new IllegalStateException(text));
                return false;
            }
            pause(20);
        }
        return true;
    }

    synchronized void progress() {
        System.err.printf("progress acknowledged=%d received=%d failures=%d%n", sent.size(), acked.size(), failures);
    }

    /** When the last of the delayed messages is due, in milliseconds from now. */
    synchronized long untilLastDueMs() {
        long last = sent.stream().mapToLong(entry -> (Long) entry.get("dueMs")).max().orElse(0);
        return Math.max(0, last - System.currentTimeMillis());
    }

    static void pause(long ms) {
        try {
            Thread.sleep(ms);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
