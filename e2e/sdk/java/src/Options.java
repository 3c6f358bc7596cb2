import java.util.HashMap;
import java.util.Map;

/** The command line that the programs of all four SDKs share; see ../../README.md. */
final class Options {
    final String endpoint;
    final String topic;
    final String group;
    final String mode;
    final String scenario;
    final String run;
    final String expression;
    final int count;
    final int rate;
    final int largest;
    final int attempts;
    final int expect;
    final int groups;
    final int priorities;
    final int producers;
    final int consumers;
    final double timeout;
    final double seconds;
    final double drain;
    final int work;
    final int pace;
    final boolean tls;

    private Options(Map<String, String> given) {
        endpoint = given.getOrDefault("endpoint", "127.0.0.1:8081");
        topic = given.getOrDefault("topic", "");
        group = given.getOrDefault("group", "");
        mode = given.getOrDefault("mode", "simple");
        scenario = given.getOrDefault("scenario", "roundtrip");
        run = given.getOrDefault("run", "java-" + ProcessHandle.current().pid() + "-" + System.nanoTime());
        count = Integer.parseInt(given.getOrDefault("count", "8"));
        rate = Integer.parseInt(given.getOrDefault("rate", "100"));
        largest = Integer.parseInt(given.getOrDefault("largest", String.valueOf(4 << 20)));
        attempts = Integer.parseInt(given.getOrDefault("attempts", "2"));
        expression = given.getOrDefault("expression", "");
        expect = Integer.parseInt(given.getOrDefault("expect", "0"));
        groups = Integer.parseInt(given.getOrDefault("groups", "0"));
        priorities = Integer.parseInt(given.getOrDefault("priorities", "0"));
        producers = Integer.parseInt(given.getOrDefault("producers", "1"));
        consumers = Integer.parseInt(given.getOrDefault("consumers", "1"));
        timeout = Double.parseDouble(given.getOrDefault("timeout", "60"));
        seconds = Double.parseDouble(given.getOrDefault("seconds", "20"));
        drain = Double.parseDouble(given.getOrDefault("drain", "60"));
        work = Integer.parseInt(given.getOrDefault("work", "0"));
        pace = Integer.parseInt(given.getOrDefault("pace", "0"));
        tls = given.containsKey("tls");
    }

    static Options parse(String[] args) {
        Map<String, String> given = new HashMap<>();
        for (int i = 0; i < args.length; i++) {
            String name = args[i].replaceFirst("^--", "");
            boolean flag = name.equals("tls");
            given.put(name, flag ? "" : args[++i]);
        }
        if (!given.containsKey("topic") || !given.containsKey("group")) {
            System.err.println("--topic and --group are required");
            System.exit(2);
        }
        return new Options(given);
    }
}
