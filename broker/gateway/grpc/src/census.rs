//! Which kinds of clients are there, and how many of each: figures for metrics.
//!
//! Promise: at most as many kinds as are asked for, always those that come first by group, mode, language and version, all of
//! which clients choose themselves; what does not fit is counted. Cost: each session is looked at once.

use std::collections::BTreeMap;

use engine::group::{Census, CensusLimits};
use wire::v2::ClientType;

use crate::gateway::Gateway;
use crate::session::Profile;

/// Characters of a language and a version that are kept.
const WORD_CHARS_MAX: usize = 32;

/// What several clients have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientKind {
    /// How it reads: `push`, `pull`; empty: it is a producer.
    pub mode: &'static str,
    /// Its consumer group; empty: it is a producer, or told none.
    pub group: String,
    /// Language, in small letters.
    pub language: String,
    /// Version of the client library, as it says.
    pub version: String,
}

/// Clients by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientKinds {
    /// How many clients there are of each kind, in order.
    pub kinds: Vec<(ClientKind, u64)>,
    /// Clients of kinds that are not told.
    pub left_out: u64,
}

impl Gateway {
    /// What there is in the group, see `Group::census`. May wait for the disk.
    pub fn census(&self, limits: &CensusLimits) -> Census {
        self.group.census(limits, self.now_ms())
    }

    /// The clients by kind, at most `kinds_max` of these.
    pub fn client_kinds(&self, kinds_max: usize) -> ClientKinds {
        let mut counts = BTreeMap::new();
        let mut left_out = 0;
        self.sessions.each_profile(|profile| {
            let Some(kind) = kind_of(profile) else { return };
            *counts.entry(kind).or_insert(0) += 1;
            if counts.len() > kinds_max {
                // Whatever comes later of the last one is last again.
                left_out += counts.pop_last().map_or(0, |(_, count)| count);
            }
        });
        ClientKinds { kinds: counts.into_iter().collect(), left_out }
    }
}

/// `None`: it did not say yet what it is.
fn kind_of(profile: &Profile) -> Option<ClientKind> {
    let mode = match profile.client_type {
        ClientType::Producer => "",
        ClientType::PushConsumer | ClientType::LitePushConsumer => "push",
        ClientType::SimpleConsumer | ClientType::LiteSimpleConsumer | ClientType::PullConsumer => "pull",
        ClientType::Unspecified => return None,
    };
    let word = |text: &str| text.chars().take(WORD_CHARS_MAX).collect::<String>();
    let group = profile.group.clone().filter(|_| !mode.is_empty());
    Some(ClientKind {
        mode,
        group: group.unwrap_or_default(),
        language: word(&profile.language).to_ascii_lowercase(),
        version: word(&profile.version),
    })
}
