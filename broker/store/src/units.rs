//! The numbers that must not be mixed up.

use std::fmt;

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

unit!(
    /// Byte address in the log; counts from the first byte the log ever had.
    Position(u64)
);
unit!(
    /// Number of a message within its queue.
    Offset(u64)
);
unit!(
    /// An ordered sequence of messages, interned; 0 is no queue (control records).
    QueueId(u32)
);
unit!(
    /// Term of a leader; every start of a broker begins a new one.
    Epoch(u32)
);

impl QueueId {
    /// The queue of records that belong to no queue.
    pub const NONE: Self = Self(0);
}
