//! Names: which ones exist, how they are built, and how long they may be.
//!
//! ```text
//!   BrokerCluster `shop` ──► group `g1` ──► StatefulSet, Service `shop-g1` ──► Pod `shop-g1-0`
//!                                       └─► Service `shop-g1-leader`: whichever of the pods leads
//! ```
//!
//! Promise: every name built from an accepted cluster name fits Kubernetes' limits: a StatefulSet's name and the
//! hash that its pods carry as a label have to fit into 63 characters together.

/// Longest name of a BrokerCluster: 63 less `-g31` and less `-` and ten characters of a revision hash.
pub const CLUSTER_NAME_LEN_MAX: usize = 63 - 4 - 11;
/// Longest name of a topic or a consumer group, as the client protocol allows.
pub const TOPIC_NAME_LEN_MAX: usize = 127;
/// Longest name of a consumer group.
pub const CONSUMER_GROUP_NAME_LEN_MAX: usize = 255;

/// True for a DNS label, 1 to 63 characters: what Kubernetes calls a namespace.
pub fn is_dns_label(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// True for a DNS label that starts with a letter, at most 63 characters.
pub fn is_label(name: &str) -> bool {
    is_dns_label(name) && name.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
}

/// The number in a group's name: 7 for `g7`; none when it is not a group's name.
pub fn group_number(name: &str) -> Option<u32> {
    let number: u32 = name.strip_prefix('g')?.parse().ok()?;
    (number < 32 && name == group_name(number)).then_some(number)
}

/// The name of a group by its number: `g7`.
pub fn group_name(number: u32) -> String {
    format!("g{number}")
}

/// The name of a group's StatefulSet, Service, ConfigMap and Lease: `shop-g7`.
pub fn group_object_name(cluster: &str, number: u32) -> String {
    format!("{cluster}-g{number}")
}

/// The name of the Service and the EndpointSlice that lead to a group's leader: `shop-g7-leader`.
pub fn leader_object_name(cluster: &str, number: u32) -> String {
    format!("{}-leader", group_object_name(cluster, number))
}

/// The name of a listener's Service that clients dial first, `shop-public`, or of the one of a group, `shop-g7-public`.
pub fn listener_object_name(cluster: &str, group: Option<u32>, listener: &str) -> String {
    match group {
        None => format!("{cluster}-{listener}"),
        Some(number) => format!("{}-{listener}", group_object_name(cluster, number)),
    }
}

/// The name of a member's pod: `shop-g7-1`.
pub fn pod_name(cluster: &str, group: u32, ordinal: u32) -> String {
    format!("{cluster}-g{group}-{ordinal}")
}

/// The number at the end of a pod's or claim's name: 1 for `shop-g7-1`.
pub fn ordinal_of(name: &str) -> Option<u32> {
    name.rsplit_once('-')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_one_spelling() {
        assert_eq!(group_number("g0"), Some(0));
        assert_eq!(group_number("g31"), Some(31));
        for wrong in ["g32", "g01", "g+1", "g", "0", "G1", "g-1", ""] {
            assert_eq!(group_number(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_label_may_begin_with_a_digit_where_kubernetes_allows_it() {
        assert!(is_dns_label("7up") && !is_label("7up"));
        for wrong in ["", "-a", "a-", "A", "a.b", &"a".repeat(64)] {
            assert!(!is_dns_label(wrong) && !is_label(wrong), "{wrong}");
        }
    }

    #[test]
    fn the_longest_cluster_name_leaves_room_for_all_that_is_added() {
        let cluster = "c".repeat(CLUSTER_NAME_LEN_MAX);
        let stateful_set = group_object_name(&cluster, 31);
        assert_eq!(stateful_set.len() + "-".len() + "6f7c9d8b54".len(), 63);
        assert!(is_label(&stateful_set));
        assert!(is_label(&leader_object_name(&cluster, 31)));
        let listener = "l".repeat(crate::listener::LISTENER_NAME_LEN_MAX);
        assert!(is_label(&listener_object_name(&cluster, Some(31), &listener)));
    }
}
