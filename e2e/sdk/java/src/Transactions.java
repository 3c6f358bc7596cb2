import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;
import org.apache.rocketmq.client.apis.producer.Transaction;
import org.apache.rocketmq.client.apis.producer.TransactionResolution;

/** What the scenarios with transactions add: their decisions, by the sender and by the checker. */
final class Transactions {
    private final Session session;
    /** Messages that the sender decided: the broker answered. */
    final List<Integer> decided = new ArrayList<>();
    /** What the checker was asked, and its answer as the verdict. */
    final List<Map<String, Object>> checks = new ArrayList<>();
    /** Messages that somebody decided. */
    final Set<Integer> settled = ConcurrentHashMap.newKeySet();
    private final Map<Integer, Integer> asked = new HashMap<>();
    private volatile boolean holds;

    Transactions(Session session) {
        this.session = session;
    }

    /** Whether message `index` is committed in the end, whoever decides. */
    static boolean commits(int index) {
        return index % 3 == 0 || index % 6 == 2;
    }

    /** Whether the sender leaves it to the checker. */
    private static boolean isLeft(int index) {
        return index % 3 == 2;
    }

    static int committed(int count) {
        int committed = 0;
        for (int index = 0; index < count; index++) {
            committed += commits(index) ? 1 : 0;
        }
        return committed;
    }

    /** At the first question about some messages the answer is not known. */
    TransactionResolution check(MessageView m) {
        int index = Messages.index(m);
        synchronized (session) {
            boolean isFirst = asked.merge(index, 1, Integer::sum) == 1;
            boolean isUnknown = holds || (isFirst && index % 4 >= 2);
            String answer = isUnknown ? "unknown" : commits(index) ? "commit" : "rollback";
            checks.add(Messages.view(m, 0, answer, session.elapsedMs()));
            if (isUnknown) {
                return TransactionResolution.UNKNOWN;
            }
        }
        settled.add(index);
        return commits(index) ? TransactionResolution.COMMIT : TransactionResolution.ROLLBACK;
    }

    /** All messages first, then the decisions: `transaction-held` waits for SIGTERM in between. */
    boolean sendAll(Producer p) throws Exception {
        Options o = session.options;
        if (o.scenario.equals("transaction-heir")) {
            return true; // another program sent them
        }
        holds = o.scenario.equals("transaction-held");
        Map<Integer, Transaction> open = new LinkedHashMap<>();
        for (int index = 0; session.goesOn(index); index++) {
            int number = index;
            boolean isSent = session.send(index, message -> {
                Transaction transaction = p.beginTransaction(); // of a failed try nobody knows whether it was stored
                open.put(number, transaction);
                return p.send(message, transaction);
            });
            if (!isSent) {
                return false;
            }
        }
        session.progress();
        while (holds && !session.ended) {
            Session.pause(20);
        }
        holds = false;
        if (o.producers > 1) {
            session.producer();
        }
        open.forEach(this::decide);
        return true;
    }

    /** What the broker does not answer is left to the checker. */
    private void decide(int index, Transaction transaction) {
        if (isLeft(index)) {
            return;
        }
        Session.pause(session.options.work);
        try {
            if (commits(index)) {
                transaction.commit();
            } else {
                transaction.rollback();
            }
            synchronized (session) {
                decided.add(index);
            }
            settled.add(index);
        } catch (Throwable e) {
            session.problem("decide " + index, e);
        }
    }
}
