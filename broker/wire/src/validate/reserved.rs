//! Names that the protocol keeps for itself.

use std::collections::HashSet;
use std::sync::LazyLock;

/// Messages of transactions that nobody decided: read by people, filled by the broker.
pub(super) const ABANDONED_TRANSACTIONS_TOPIC: &str = "TRANS_CHECK_MAX_TIME_TOPIC";

/// Topics of the reference server's own; here they would be ordinary, but a client must not depend on that.
const SYSTEM_TOPICS: [&str; 9] = [
    "TBW102",
    "SCHEDULE_TOPIC_XXXX",
    "BenchmarkTest",
    "RMQ_SYS_TRANS_HALF_TOPIC",
    "RMQ_SYS_TRACE_TOPIC",
    "RMQ_SYS_TRANS_OP_HALF_TOPIC",
    "SELF_TEST_TOPIC",
    "OFFSET_MOVED_EVENT",
    "CHECKPOINT_TOPIC",
];

const SYSTEM_TOPIC_PREFIXES: [&str; 2] = ["rmq_sys_", "RMQ_SYS_ROCKSDB_"];

/// Property keys in which a server of this protocol keeps system properties.
const PROPERTIES: &str = "
    TRACE_ON MSG_REGION KEYS TAGS WAIT DELAY RETRY_TOPIC ORIGIN_GROUP REAL_TOPIC REAL_QID TRAN_MSG PGROUP
    MIN_OFFSET MAX_OFFSET BUYER_ID ORIGIN_MESSAGE_ID TRANSFER_FLAG CORRECTION_FLAG MQ2_FLAG RECONSUME_TIME UNIQ_KEY
    MAX_RECONSUME_TIMES CONSUME_START_TIME POP_CK POP_CK_OFFSET 1ST_POP_TIME TRAN_PREPARED_QUEUE_OFFSET DUP_INFO
    EXTEND_UNIQ_INFO INSTANCE_ID CORRELATION_ID REPLY_TO_CLIENT TTL ARRIVE_TIME PUSH_REPLY_TIME CLUSTER MSG_TYPE
    INNER_MULTI_QUEUE_OFFSET TIMER_DELAY_MS TIMER_DELAY_SEC TIMER_DELIVER_MS TIMER_ENQUEUE_MS TIMER_DEQUEUE_MS
    TIMER_ROLL_TIMES TIMER_OUT_MS TIMER_DEL_UNIQKEY TIMER_DELAY_LEVEL __BORNHOST BORN_TIMESTAMP DLQ_ORIGIN_TOPIC
    DLQ_ORIGIN_MESSAGE_ID __CRC32# _SYS_MSG_PRIORITY_ __LITE_TOPIC";

static PROPERTY_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| PROPERTIES.split_whitespace().collect());

/// Whether this name is kept for the server's own topics.
pub fn is_system_topic(name: &str) -> bool {
    SYSTEM_TOPICS.contains(&name) || SYSTEM_TOPIC_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether a sender may not use this key for a user property.
pub fn is_reserved_property(key: &str) -> bool {
    PROPERTY_SET.contains(key)
}
