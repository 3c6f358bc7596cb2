import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.rocketmq.client.apis.producer.Producer;
import org.apache.rocketmq.shaded.com.google.gson.GsonBuilder;
import sun.misc.Signal;

/**
 * One program of the SDK matrix: the official Java SDK, unmodified, against any RocketMQ 5 endpoint.
 * Command line, scenarios and output are the same in every language: see ../../README.md.
 */
public final class Matrix {
    private final Options options;
    private final Session session;

    private Matrix(Options options) {
        this.options = options;
        this.session = new Session(options);
    }

    /** How many different messages have to be acknowledged in the end. */
    private int expected() {
        switch (options.scenario) {
            case "tagfilter":
                break;
            case "sqlfilter":
                return options.expect * session.rounds();
            case "fifo", "fifo-retry":
                return session.sentCount();
            case "transaction", "transaction-held", "transaction-heir":
                return Transactions.committed(session.rounds() * options.count);
            case "delay":
                break;
            default:
                return session.rounds() * options.count;
        }
        int expected = 0;
        for (int i = 0; i < session.rounds() * options.count; i++) {
            if (options.scenario.equals("delay")) {
                expected += Messages.isRecalled(options, i) ? 0 : 1;
                continue;
            }
            String tag = Messages.tag(options.scenario, i);
            expected += tag.equals("a") || tag.equals("b") ? 1 : 0;
        }
        return expected;
    }

    /** Their topic comes into being with the first of them, when the last lease has run out. */
    private Session.Stop consumerOfDeadLetters() throws Exception {
        for (int left = 19; ; left--) {
            Session.pause(1000);
            try {
                return session.consumers("%DLQ%" + options.group, options.group + "-dlq");
            } catch (Exception e) {
                if (left == 0) {
                    throw e;
                }
            }
        }
    }

    /** Until everything is acknowledged, and then a little for what must not come. */
    private boolean settled() {
        if (!session.await("acknowledged", session.acked::size, expected())) {
            return false;
        }
        if (options.scenario.startsWith("transaction")
            && !session.await("decided", session.transactions.settled::size, session.rounds() * options.count)) {
            return false;
        }
        if (options.scenario.equals("delay")) {
            Session.pause(session.untilLastDueMs());
        }
        if (List.of("tagfilter", "delay").contains(options.scenario) || options.scenario.startsWith("transaction")) {
            Session.pause(1000);
        }
        return true;
    }

    /** One message after the other, or with several producers at a time. */
    private boolean sendAll(Producer p) throws Exception {
        if (options.scenario.startsWith("fifo")) {
            return session.ordered.sendInTurn(p);
        }
        if (options.scenario.startsWith("transaction")) {
            return session.transactions.sendAll(p);
        }
        boolean ok = true;
        for (int i = 0; ok && session.goesOn(i); i++) {
            ok = session.send(p, i);
        }
        if (options.scenario.equals("delay")) {
            session.progress();
        }
        return ok;
    }

    /** Every scenario but `stream`: consumers first, then the messages, then wait for the end. */
    private boolean play() throws Exception {
        if (options.pace > 0 || options.scenario.equals("transaction-held")) {
            Signal.handle(new Signal("TERM"), signal -> session.ended = true);
        }
        List<Session.Stop> stops = new ArrayList<>();
        if (!options.scenario.equals("send")) {
            stops.add(session.consumers(options.topic, options.group));
        }
        boolean ok = true;
        if (!options.scenario.equals("receive")) {
            Producer p = session.producer();
            stops.add(p::close);
            ok = sendAll(p);
        }
        if (ok && options.scenario.equals("dlq")) {
            // Some failures may be lost with a broker: what counts then is that they all end as dead letters.
            ok = options.pace > 0 || session.await("failed deliveries", session::failed, options.count * options.attempts);
            stops.add(consumerOfDeadLetters());
        }
        if (ok && options.scenario.equals("stuck")) {
            ok = session.await("acknowledged, the stuck one apart", session.acked::size, options.count - 1);
            stops.add(consumerOfDeadLetters());
        }
        ok = ok && (options.scenario.equals("send") || settled());
        session.stopped = true;
        // A push consumer waits for its running long polls: half a minute, so only where it is part of the test.
        if (options.mode.equals("simple") || options.scenario.equals("roundtrip")) {
            for (Session.Stop stop : stops) {
                stop.run();
            }
        }
        return ok;
    }

    /** Sends and receives through any number of broker restarts; nothing acknowledged may be lost. */
    private boolean stream(Map<String, Object> report) throws Exception {
        AtomicBoolean ended = new AtomicBoolean();
        Signal.handle(new Signal("TERM"), signal -> ended.set(true));
        session.consumers(options.topic, options.group);
        long longest = flow(session.producer(), ended);
        double deadline = session.elapsedMs() + options.drain * 1000;
        while (!missing().isEmpty() && session.elapsedMs() < deadline) {
            Session.pause(50);
        }
        session.stopped = true;
        List<Object> missing = missing();
        report.put("acknowledged", session.sent.size());
        report.put("distinct", session.acked.size());
        report.put("copies", session.copies);
        report.put("missing", missing);
        report.put("longestGapMs", longest);
        return missing.isEmpty() && !session.sent.isEmpty();
    }

    /** Sends at the wanted rate and returns the longest time without an acknowledged send. */
    private long flow(Producer p, AtomicBoolean ended) {
        long began = session.elapsedMs();
        long last = began;
        long spoke = began;
        long longest = 0;
        for (int i = 0; !ended.get() && session.elapsedMs() < began + options.seconds * 1000; i++) {
            if (session.send(p, i)) {
                longest = Math.max(longest, session.elapsedMs() - last);
                last = session.elapsedMs();
            }
            if (session.elapsedMs() - spoke > 1000) {
                spoke = session.elapsedMs();
                session.progress();
            }
            Session.pause(1000 / options.rate);
        }
        return longest;
    }

    private List<Object> missing() {
        List<Object> missing = new ArrayList<>();
        for (Map<String, Object> m : session.sent) {
            if (!session.acked.contains((Integer) m.get("index"))) {
                missing.add(m.get("index"));
            }
        }
        return missing;
    }

    private boolean run(Map<String, Object> report) {
        try {
            return options.scenario.equals("stream") ? stream(report) : play();
        } catch (Throwable e) {
            session.problem("start", e);
            return false;
        }
    }

    public static void main(String[] args) {
        Matrix matrix = new Matrix(Options.parse(args));
        Options o = matrix.options;
        Map<String, Object> report = new LinkedHashMap<>();
        report.put("sdk", "java");
        report.put("version", "5.2.0");
        report.put("scenario", o.scenario);
        report.put("mode", o.mode);
        report.put("tls", o.tls);
        report.put("run", o.run);
        boolean ok = matrix.run(report);
        report.put("beganMs", matrix.session.beganMs);
        // The listeners go on, while this is written.
        synchronized (matrix.session) {
            if (matrix.session.reports()) {
                report.put("sent", List.copyOf(matrix.session.sent));
                report.put("received", List.copyOf(matrix.session.received));
                report.put("confirmed", List.copyOf(matrix.session.confirmed));
                report.put("recalled", List.copyOf(matrix.session.recalled));
                report.put("refusals", List.copyOf(matrix.session.refusals));
                report.put("decided", List.copyOf(matrix.session.transactions.decided));
                report.put("checks", List.copyOf(matrix.session.transactions.checks));
            }
        }
        report.put("errors", matrix.session.errors);
        report.put("failures", matrix.session.failures);
        report.put("ok", ok);
        report.put("elapsedMs", matrix.session.elapsedMs());
        byte[] text = new GsonBuilder().serializeNulls().disableHtmlEscaping().create().toJson(report)
            .getBytes(java.nio.charset.StandardCharsets.UTF_8);
        System.out.write(text, 0, text.length);
        System.out.println();
        System.out.flush();
        Runtime.getRuntime().halt(ok ? 0 : 1);
    }
}
