//! Who reads: consumer groups of all sorts, and members of broadcasts.

use client::Filter;

use super::kind::{self, KINDS, Kind};
use crate::matrix;

/// One that reads a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reader {
    /// Takes everything of a kind.
    Of(Kind),
    /// With a filter by tags.
    Tagged,
    /// With an SQL filter.
    Chosen,
    /// Queue by queue, without leases.
    ByOffset,
    /// One of two members of a broadcast to each client.
    Everywhere(usize),
    /// The only member of a broadcast to each host, from when it joined; it leaves and comes back.
    AtHome,
    /// A group until it is moved back to the beginning, and from then on.
    Before,
    Again,
    /// Begins when all is sent and nobody is disturbed.
    Afterwards,
}

/// Those that read from the start.
pub(super) const READERS: [Reader; 12] = [
    Reader::Of(Kind::InOrder),
    Reader::Of(Kind::ForLater),
    Reader::Of(Kind::InTransaction),
    Reader::Of(Kind::InBatches),
    Reader::Of(Kind::ByPriority),
    Reader::Tagged,
    Reader::Chosen,
    Reader::ByOffset,
    Reader::Everywhere(0),
    Reader::Everywhere(1),
    Reader::AtHome,
    Reader::Before,
];

impl Reader {
    pub(super) const fn kind(self) -> Kind {
        match self {
            Self::Of(kind) => kind,
            Self::Tagged
            | Self::Chosen
            | Self::ByOffset
            | Self::Everywhere(_)
            | Self::AtHome
            | Self::Before
            | Self::Again => Kind::InBatches,
            Self::Afterwards => Kind::ByPriority,
        }
    }

    /// Its consumer group.
    pub(super) const fn group(self) -> &'static str {
        match self {
            Self::Of(kind) => kind.topic(),
            Self::Tagged => "kinds-tagged",
            Self::Chosen => "kinds-chosen",
            Self::ByOffset => "kinds-by-offset",
            Self::Everywhere(_) => "kinds-everywhere",
            Self::AtHome => "kinds-at-home",
            Self::Before | Self::Again => "kinds-again",
            Self::Afterwards => "kinds-afterwards",
        }
    }

    pub(super) fn filter(self) -> Filter {
        match self {
            Self::Tagged => Filter::Tags("green || blue".to_owned()),
            Self::Chosen => Filter::Sql("weight > 4 AND colour IN ('red', 'blue')".to_owned()),
            Self::Of(_)
            | Self::ByOffset
            | Self::Everywhere(_)
            | Self::AtHome
            | Self::Before
            | Self::Again
            | Self::Afterwards => Filter::all(),
        }
    }

    /// Whether its filter fits a message.
    pub(super) fn wants(self, name: &str) -> bool {
        let number = kind::number(name);
        match self {
            Self::Tagged => kind::colour(number) != "red",
            Self::Chosen => kind::weight(number) > 4 && kind::colour(number) != "green",
            Self::Of(_)
            | Self::ByOffset
            | Self::Everywhere(_)
            | Self::AtHome
            | Self::Before
            | Self::Again
            | Self::Afterwards => true,
        }
    }

    /// What the manifest of its group says beside the usual.
    const fn spec(self) -> &'static str {
        match self {
            Self::Of(Kind::InOrder) => "consumeFrom: Earliest\n  ordered: true",
            Self::Of(Kind::InBatches) => "consumeFrom: Earliest\n  trace: true",
            Self::Everywhere(_) => "consumeFrom: Earliest\n  delivery: BroadcastByClient",
            // One that was forgotten would not get what was sent meanwhile.
            Self::AtHome => "consumeFrom: Latest\n  delivery: BroadcastByHost",
            Self::Afterwards => "consumeFrom: Earliest\n  priority: {policy: Strict}",
            Self::Of(Kind::ForLater | Kind::InTransaction | Kind::ByPriority)
            | Self::Tagged
            | Self::Chosen
            | Self::ByOffset
            | Self::Before
            | Self::Again => "consumeFrom: Earliest",
        }
    }
}

/// The topics and groups that the clients need on a broker of its own.
pub fn manifests() -> String {
    manifests_of("local")
}

/// The topics and groups that the clients need in this broker cluster.
pub fn manifests_of(cluster: &str) -> String {
    let mut yaml = String::new();
    for kind in KINDS {
        let spec = format!("type: {}\n  queues: {{perGroup: 2}}", kind.word());
        matrix::object(&mut yaml, "Topic", kind.topic(), cluster, &spec);
    }
    for reader in each_group() {
        let spec = format!("{}\n  retry: {{maxAttempts: 100, backoff: {{custom: [1s]}}}}", reader.spec());
        matrix::object(&mut yaml, "ConsumerGroup", reader.group(), cluster, &spec);
    }
    yaml
}

/// One reader of each group.
fn each_group() -> impl Iterator<Item = Reader> {
    let others = READERS.into_iter().filter(|reader| *reader != Reader::Everywhere(1));
    others.chain([Reader::Afterwards])
}
