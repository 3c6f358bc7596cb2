//! The configurations: small groups, each with the faults that belong together.

use crds::group_record::GroupRequest;
use replica::member::{Rules, Settings};

use crate::action::Action;
use crate::world::Config;

impl Default for Config {
    fn default() -> Self {
        Self {
            name: "two members",
            members: 2,
            min_in_sync: 1,
            settings: Settings::default(),
            first: 2,
            writes: 1,
            epochs: 2,
            changes: 2,
            crashes: 0,
            powers: 0,
            breaks: 0,
            wipes: 0,
            hand_overs: 0,
            trims: 0,
            requests: Vec::new(),
            capacity: 1,
            stalls: false,
            is_slow: false,
            is_direct: false,
            remembers: true,
            stale_reads: false,
            late_acks: false,
            prelude: Vec::new(),
            all_beat: false,
        }
    }
}

impl Config {
    pub fn without(mut self, name: &'static str, remove: impl FnOnce(&mut Rules)) -> Self {
        self.name = name;
        remove(&mut self.settings.rules);
        self
    }

    pub fn crash() -> Self {
        Self { name: "a crash", crashes: 1, changes: 3, epochs: 3, ..Self::default() }
    }

    /// Two messages, and logs that know nothing of commits after a restart.
    pub fn forgetful() -> Self {
        let name = "a crash, two messages, commits forgotten";
        Self {
            name,
            crashes: 1,
            writes: 2,
            changes: 3,
            epochs: 3,
            is_direct: true,
            remembers: false,
            ..Self::default()
        }
    }

    pub fn broken_link() -> Self {
        Self { name: "a broken link", breaks: 1, stalls: true, capacity: 2, ..Self::default() }
    }

    pub fn slow() -> Self {
        Self { name: "a slow engine", is_slow: true, stalls: true, breaks: 1, changes: 3, ..Self::default() }
    }

    pub fn power() -> Self {
        let name = "a power cut";
        Self { name, is_direct: true, powers: 1, changes: 3, epochs: 3, ..Self::default() }
    }

    pub fn power_and_stall() -> Self {
        let name = "a power cut while members do not answer";
        Self { name, is_direct: true, powers: 1, stalls: true, changes: 3, ..Self::default() }
    }

    /// Both lose power: the longest log leads.
    pub fn power_everywhere() -> Self {
        let name = "power cuts everywhere";
        Self { name, is_direct: true, powers: 2, all_beat: true, ..Self::default() }
    }

    pub fn power_synced() -> Self {
        let mut config = Self { name: "a power cut, with every write synced", epochs: 2, ..Self::power() };
        config.settings.flush_sync = true;
        config
    }

    pub fn three() -> Self {
        let name = "three members";
        Self { name, is_direct: true, members: 3, first: 3, min_in_sync: 2, changes: 1, ..Self::default() }
    }

    pub fn three_crash() -> Self {
        Self { name: "three members, a crash", crashes: 1, writes: 0, ..Self::three() }
    }

    /// Two in sync, and a third that is about to learn.
    pub fn learner() -> Self {
        let name = "two members and a learner";
        let joins =
            [Action::Request, Action::Restart(2), Action::Saw(0), Action::Beat(0, 2), Action::Land(0)];
        let prelude = joins.to_vec();
        let requests = vec![request(3, 1)];
        Self { name, is_direct: true, members: 3, requests, prelude, changes: 2, ..Self::default() }
    }

    /// Acknowledgements of broken connections come between those of new ones.
    pub fn late_acks() -> Self {
        Self { name: "a power cut, late acknowledgements", late_acks: true, epochs: 2, ..Self::power() }
    }

    /// Fewer than needed are in sync.
    pub fn too_few() -> Self {
        Self { name: "both needed", min_in_sync: 2, ..Self::crash() }
    }

    pub fn hand_over() -> Self {
        Self { name: "a hand-over", hand_overs: 1, crashes: 1, ..Self::default() }
    }

    pub fn wipe() -> Self {
        let name = "a replaced volume";
        Self {
            name,
            is_direct: true,
            wipes: 1,
            trims: 1,
            all_beat: true,
            crashes: 1,
            changes: 4,
            ..Self::default()
        }
    }

    pub fn requests() -> Self {
        let name = "other numbers of copies";
        let requests = vec![request(2, 2), request(1, 1)];
        Self { name, is_direct: true, requests, crashes: 1, changes: 3, ..Self::default() }
    }

    pub fn growing() -> Self {
        let name = "from one copy to two, a crash";
        let requests = vec![request(2, 2)];
        Self { name, first: 1, requests, crashes: 1, changes: 4, ..Self::default() }
    }
}

pub fn request(copies: u32, min_in_sync: u32) -> GroupRequest {
    GroupRequest { copies, min_in_sync, ..GroupRequest::default() }
}
