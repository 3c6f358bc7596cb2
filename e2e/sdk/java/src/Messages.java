import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.rocketmq.client.apis.ClientServiceProvider;
import org.apache.rocketmq.client.apis.message.Message;
import org.apache.rocketmq.client.apis.message.MessageBuilder;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.java.message.MessageViewImpl;

/** What is sent and how it is reported; the same rules in every language (see ../../README.md). */
final class Messages {
    private Messages() {}

    private static byte[] pattern(int size) {
        byte[] bytes = new byte[size];
        for (int j = 0; j < size; j++) {
            bytes[j] = (byte) (j * 31 + 7);
        }
        return bytes;
    }

    /** One byte, 1 KiB, not ASCII, the largest allowed, and two whose CRC32 begins with zero digits; then plain. */
    private static byte[] body(Options o, int index) {
        boolean awkward = o.scenario.equals("roundtrip") || o.scenario.equals("send");
        return switch (awkward ? index : -1) {
            case 0 -> utf8("x");
            case 1 -> pattern(1024);
            case 2 -> utf8("Grüße, 世界 🌍");
            case 3 -> pattern(o.largest);
            case 4 -> utf8("crc 31");
            case 5 -> utf8("crc 432");
            default -> utf8("message " + index);
        };
    }

    private static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** The tag of message `index`; empty: none. */
    static String tag(String scenario, int index) {
        return scenario.equals("tagfilter") ? new String[] {"a", "b", "c", ""}[index % 4] : "t" + index % 3;
    }

    /** Its number for what a filter sees, so that it lets through the same of every round. */
    private static int inRound(Options o, int index) {
        return o.scenario.equals("sqlfilter") ? index % o.count : index;
    }

    static Message message(Options o, int index) {
        MessageBuilder builder = ClientServiceProvider.loadService().newMessageBuilder()
            .setTopic(o.topic)
            .setBody(body(o, index))
            .setKeys("k" + index, "schlüssel")
            .addProperty("index", String.valueOf(index))
            .addProperty("run", o.run)
            .addProperty("note", "Grüße, 世界");
        if (o.scenario.equals("sqlfilter")) {
            int n = inRound(o, index);
            builder.addProperty("price", String.valueOf(n)).addProperty("weight", n + ".5");
            if (n % 3 < 2) {
                builder.addProperty("region", n % 3 == 0 ? "eu" : "us");
            }
        }
        if (o.scenario.equals("delay")) {
            builder.setDeliveryTimestamp(dueMs(o, index));
        }
        if (o.groups > 0) {
            builder.setMessageGroup("g" + index % o.groups); // every groups-th message is of the same group
        }
        if (o.priorities > 0) {
            builder.setPriority(1 + index % o.priorities);
        }
        String tag = tag(o.scenario, inRound(o, index));
        return (tag.isEmpty() ? builder : builder.setTag(tag)).build();
    }

    /** The first message is due in the past, the others from 2 s on until all of `--seconds` later. */
    private static long dueMs(Options o, int index) {
        long now = System.currentTimeMillis();
        return index == 0 ? now - 10_000 : now + 2000 + (long) (index * 37 % o.count * 1000 * o.seconds / o.count);
    }

    static boolean isRecalled(Options o, int index) {
        return o.scenario.equals("delay") && index % 5 == 3;
    }

    static int index(MessageView m) {
        return Integer.parseInt(m.getProperties().getOrDefault("index", "-1"));
    }

    /** Where the message lies in its queue, which tells a copy that was stored twice. */
    static long offset(MessageView m) {
        return ((MessageViewImpl) m).getOffset();
    }

    static Map<String, Object> view(MessageView m, int consumer, String verdict, long atMs) {
        byte[] body = new byte[m.getBody().remaining()];
        m.getBody().get(body);
        Map<String, Object> view = new LinkedHashMap<>();
        view.put("id", m.getMessageId().toString());
        view.put("topic", m.getTopic());
        view.put("index", index(m));
        view.put("tag", m.getTag().orElse(null));
        view.put("keys", m.getKeys());
        view.put("properties", m.getProperties());
        view.put("group", m.getMessageGroup().orElse(null));
        view.put("priority", m.getPriority().orElse(null));
        view.put("offset", offset(m));
        view.put("consumer", consumer);
        view.put("attempt", m.getDeliveryAttempt());
        view.put("bytes", body.length);
        view.put("sha256", sha256(body));
        view.put("verdict", verdict);
        view.put("atMs", atMs);
        view.put("dueMs", m.getDeliveryTimestamp().orElse(null));
        view.put("cameMs", System.currentTimeMillis());
        return view;
    }

    private static String sha256(byte[] body) {
        try {
            StringBuilder hex = new StringBuilder();
            for (byte b : MessageDigest.getInstance("SHA-256").digest(body)) {
                hex.append(String.format("%02x", b));
            }
            return hex.toString();
        } catch (java.security.NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }
}
