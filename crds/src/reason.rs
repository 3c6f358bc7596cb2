//! The words that conditions and events give as their reason, each with what it means and what to do about it.
//!
//! Promise: a condition or an event of ours has no other reason; `docs/reference/reasons.md` is made from this list.

/// Where a reason is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// A condition of a BrokerCluster.
    Cluster,
    /// A condition of a Topic or ConsumerGroup.
    Object,
    /// A condition of any of them.
    Any,
    /// An event only. The reason of a condition is that of an event as well when the condition flips.
    Event,
}

macro_rules! reasons {
    ($(#[doc = $meaning:literal] $name:ident $of:ident $remedy:literal,)+) => {
        /// Why a condition is as it is, or what an event tells.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Reason {
            $(#[doc = $meaning] $name,)+
        }

        impl Reason {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The word in the condition or event.
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// What it means, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning.trim_ascii(),)+ }
            }

            /// What to do about it; empty: nothing.
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy,)+ }
            }

            /// Where it is found.
            pub fn of(self) -> Of {
                match self { $(Self::$name => Of::$of,)+ }
            }
        }
    };
}

reasons! {
    /// The object of a name existed in the brokers and belongs to this one now.
    Adopted Event "",
    /// The spec of a Topic or ConsumerGroup is what all brokers hold.
    Applied Object "",
    /// A broker took no change for now.
    BrokerBusy Object "It is tried again; look at the cluster when it stays.",
    /// A pod was restarted because its template or configuration changed, or its image.
    BrokerRestarted Event "",
    /// The leader of a group did not answer.
    BrokerUnreachable Object "It is tried again; look at `Ready` of the cluster when it stays.",
    /// The spec was changed and brokers hold the new one.
    Changed Event "",
    /// Members of a group come or go.
    ChangingCopies Cluster "",
    /// The BrokerCluster is being deleted.
    ClusterLeaving Object "Delete the object as well, or make the cluster again.",
    /// The BrokerCluster that is named does not exist.
    ClusterMissing Object "Make it, or correct `clusterRef`.",
    /// An object that deletes its data waits for brokers to delete it in.
    ClusterNotReady Object "Let the cluster come up, or set `deletionPolicy` to `Retain`.",
    /// The operator was asked to leave the cluster alone, and so its objects.
    ClusterPaused Object "Set `reconciliation` of the cluster to `Active`.",
    /// The cluster has no broker yet.
    ClusterStarting Object "",
    /// Some copies of a group are not in sync.
    CopiesMissing Cluster "The message names the pods and what they wait for; see the runbook, `copies-missing`.",
    /// The object or objects that are named were made.
    Created Event "",
    /// Groups have no pod yet.
    Creating Cluster "",
    /// What is to be deleted in the brokers could not be.
    DeletionWaits Object "It is tried again; the message says why.",
    /// A disk has no room: sends to its group are refused.
    DiskFull Cluster "Raise `storage.size`, or lower `retention.maxSize`.",
    /// Somebody else changed what the operator keeps, and it was put back.
    DriftCorrected Event "Change the spec instead.",
    /// Objects of an earlier cluster of this name are still being deleted.
    EarlierClusterLeaving Cluster "",
    /// Some groups do not serve.
    GroupsNotReady Cluster "The message names the pods and what they wait for; see the runbook, `no-leader`.",
    /// Volume claims are being enlarged.
    Growing Cluster "",
    /// Every copy of every group holds every acknowledged message.
    InSync Cluster "",
    /// A change of the spec cannot be carried out; what was before stays.
    InvalidChange Any "The message says what can be done instead.",
    /// The spec cannot be carried out; nothing is changed.
    InvalidSpec Any "Correct what the message names.",
    /// Kubernetes did not answer.
    KubernetesUnreachable Object "It is tried again.",
    /// Somebody deleted the Lease of a group, and its finalizer keeps it.
    LeaseDeleted Cluster "Leave the finalizer in place: without the Lease nobody new can lead. See the runbook, `record-regressed`.",
    /// An object of this name belongs to somebody else.
    NameTaken Any "Delete one of the two, or name this one differently.",
    /// The cluster lets in no object from this namespace.
    NamespaceNotAllowed Object "Add the namespace to `allowedNamespaces` of the cluster.",
    /// No copy of a group is up and in sync.
    NoCopyInSync Cluster "The message names the pods and what they wait for; see the runbook, `no-leader`.",
    /// It exists in the brokers and may not be taken over.
    NotAdopted Object "The message says what is different; make the spec equal, or set `adoptionPolicy` to `Always`.",
    /// An object that is only looked at is not in all groups.
    NotThere Object "",
    /// It exists in the brokers and is only looked at.
    Observed Object "",
    /// `reconciliation` is `Paused`: nothing is changed.
    Paused Cluster "Set `reconciliation` to `Active`, or wait for `pausedUntil`.",
    /// Nobody can tell who holds every acknowledged message of a group, so no new leader can be chosen.
    RecordLost Cluster "See docs/copies.md.",
    /// The record of a group was gone; all members told the last one that they knew, and it was written again.
    RecordRestored Event "Find out who deletes Leases.",
    /// A broker does not accept the object.
    RefusedByBroker Object "Correct what the message names.",
    /// A restarted broker does not serve with the newest template; the others keep what they have.
    RolloutHalted Cluster "Mend what keeps the pod from serving, or set the spec back.",
    /// Every disk has room.
    Room Cluster "",
    /// Groups are on their way out of the cluster.
    ScalingIn Cluster "`status.groupStatus[].leaving` says what they wait for.",
    /// New groups join the cluster, and clients are not sent to them yet.
    ScalingOut Cluster "",
    /// Every group serves.
    Serving Cluster "",
    /// Nothing is under way.
    Settled Any "",
    /// A topic that keeps its order is in a group that is to leave.
    TopicsStay Cluster "Set `queues.placement` of the topic to `Spread`, delete it, or raise `groups` again.",
    /// Brokers run an older template and are restarted one after the other, or are about to be.
    Updating Cluster "",
    /// A disk is not used any more and stays, as `deletionPolicy` says.
    VolumeRetained Event "Delete the claim when its space is needed.",
    /// Brokers run an older template, and other clusters are before this one.
    WaitsForTurn Cluster "The message names them; one whose roll-out has halted keeps its turn until it is mended or set back.",
    /// Nothing waits for a person.
    Working Any "",
}

impl Reason {
    /// The reason of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.word() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_sorted_and_sentences_end() {
        assert!(Reason::ALL.windows(2).all(|pair| pair[0].word() < pair[1].word()), "{:?}", Reason::ALL);
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.word()), Some(*reason));
            assert!(reason.meaning().ends_with('.'), "{reason:?}");
            assert!(reason.remedy().is_empty() || reason.remedy().ends_with('.'), "{reason:?}");
        }
    }
}
