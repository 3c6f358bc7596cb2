//! Files and names: what the process sees, what survives, and the changes between the two.

use std::collections::{BTreeMap, BTreeSet};

use super::random::Random;

const SECTOR_BYTES: u64 = 512;

/// All files of the disk.
#[derive(Clone, Default)]
pub(crate) struct Medium {
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    seen: BTreeMap<String, u64>,
    lasting: BTreeMap<String, u64>,
    /// Changes of names since the last `sync_dir` of their folder, in order.
    unsynced: Vec<Naming>,
    folders: BTreeSet<String>,
}

#[derive(Clone, Default)]
struct Inode {
    seen: Vec<u8>,
    lasting: Vec<u8>,
    /// Changes of bytes since the last sync, in order.
    unsynced: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write { at: u64, data: Vec<u8> },
    Grow { len_bytes: u64 },
    Truncate { len_bytes: u64 },
}

#[derive(Clone)]
enum Naming {
    Link { path: String, inode: u64 },
    Rename { from: String, to: String, inode: u64 },
    Unlink { path: String, inode: u64 },
}

/// How much of what was not synced a power cut leaves.
#[derive(Clone, Copy)]
enum Mercy {
    All,
    Nothing,
    Some,
}

impl Medium {
    pub(crate) fn find(&self, path: &str) -> Option<u64> {
        self.seen.get(path).copied()
    }

    pub(crate) fn bytes(&self, inode: u64) -> &[u8] {
        &self.inodes[&inode].seen
    }

    /// Whether a sync has covered all writes to these bytes.
    pub(crate) fn is_synced(&self, inode: u64, at: u64, bytes: u64) -> bool {
        let overlaps = |change: &Change| match change {
            Change::Write { at: begin, data } => *begin < at + bytes && at < begin + data.len() as u64,
            Change::Grow { .. } | Change::Truncate { .. } => false,
        };
        !self.inodes[&inode].unsynced.iter().any(overlaps)
    }

    pub(crate) fn has_folder(&self, dir: &str) -> bool {
        dir.is_empty() || self.folders.contains(dir)
    }

    pub(crate) fn has_folder_of(&self, path: &str) -> bool {
        self.has_folder(folder_of(path))
    }

    pub(crate) fn list(&self, dir: &str) -> Vec<String> {
        let names = self.seen.keys().filter(|path| folder_of(path) == dir);
        names.map(|path| path.rsplit('/').next().unwrap_or(path).to_owned()).collect()
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.seen.values().map(|inode| self.inodes[inode].seen.len() as u64).sum()
    }

    pub(crate) fn create(&mut self, path: &str) {
        if let Some(inode) = self.find(path) {
            self.truncate(inode, 0);
            return;
        }
        self.next_inode += 1;
        let inode = self.next_inode;
        self.inodes.insert(inode, Inode::default());
        self.name(Naming::Link { path: path.to_owned(), inode });
    }

    pub(crate) fn create_dir(&mut self, dir: &str) {
        let mut end = 0;
        for part in dir.split('/') {
            end += part.len();
            self.folders.insert(dir[..end].to_owned());
            end += 1;
        }
    }

    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        if let Some(inode) = self.find(from) {
            self.name(Naming::Rename { from: from.to_owned(), to: to.to_owned(), inode });
        }
    }

    pub(crate) fn remove(&mut self, path: &str) {
        if let Some(inode) = self.find(path) {
            self.name(Naming::Unlink { path: path.to_owned(), inode });
        }
    }

    pub(crate) fn sync_dir(&mut self, dir: &str) {
        for naming in std::mem::take(&mut self.unsynced) {
            if naming.touches(dir) {
                naming.apply(&mut self.lasting);
            } else {
                self.unsynced.push(naming);
            }
        }
    }

    pub(crate) fn write(&mut self, inode: u64, data: Vec<u8>, at: u64) {
        self.change(inode, Change::Write { at, data });
    }

    pub(crate) fn grow(&mut self, inode: u64, len_bytes: u64) {
        self.change(inode, Change::Grow { len_bytes });
    }

    pub(crate) fn truncate(&mut self, inode: u64, len_bytes: u64) {
        self.change(inode, Change::Truncate { len_bytes });
    }

    pub(crate) fn sync(&mut self, inode: u64) {
        if let Some(inode) = self.inodes.get_mut(&inode) {
            for change in std::mem::take(&mut inode.unsynced) {
                change.apply(&mut inode.lasting);
            }
        }
    }

    /// The kernel marks the pages clean all the same: what did not reach the disk now never will.
    pub(crate) fn fail_sync(&mut self, inode: u64, mut random: Random) {
        if let Some(inode) = self.inodes.get_mut(&inode) {
            inode.settle(Mercy::Some, &mut random);
        }
    }

    pub(crate) fn flip_bit(&mut self, path: &str, at: u64, bit: u8) -> bool {
        let Some(inode) = self.find(path).and_then(|inode| self.inodes.get_mut(&inode)) else {
            return false;
        };
        let at = at as usize;
        for image in [&mut inode.lasting, &mut inode.seen] {
            if let Some(byte) = image.get_mut(at) {
                *byte ^= 1 << (bit % 8);
            }
        }
        at < inode.seen.len()
    }

    pub(crate) fn lose_power(&mut self, random: &mut Random) {
        let mercy = Mercy::draw(random);
        for naming in std::mem::take(&mut self.unsynced) {
            if mercy.spares(random) {
                naming.apply(&mut self.lasting);
            }
        }
        self.seen.clone_from(&self.lasting);
        let named: BTreeSet<u64> = self.seen.values().copied().collect();
        self.inodes.retain(|inode, _| named.contains(inode));
        let mercy = Mercy::draw(random);
        for inode in self.inodes.values_mut() {
            inode.settle(mercy, random);
            inode.seen.clone_from(&inode.lasting);
        }
    }

    fn name(&mut self, naming: Naming) {
        naming.apply(&mut self.seen);
        self.unsynced.push(naming);
    }

    fn change(&mut self, inode: u64, change: Change) {
        if let Some(inode) = self.inodes.get_mut(&inode) {
            change.apply(&mut inode.seen);
            inode.unsynced.push(change);
        }
    }
}

impl Inode {
    /// Decides what of the unsynced changes lasts; nothing is left undecided.
    fn settle(&mut self, mercy: Mercy, random: &mut Random) {
        for change in std::mem::take(&mut self.unsynced) {
            if mercy.spares(random) {
                change.apply(&mut self.lasting);
            } else if let Change::Write { at, data } = change
                && matches!(mercy, Mercy::Some)
                && random.one_in(2)
            {
                tear(&mut self.lasting, at, &data, random);
            }
        }
    }
}

impl Change {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::Write { at, data } => put(image, *at, data),
            Self::Grow { len_bytes } => image.resize(image.len().max(*len_bytes as usize), 0),
            Self::Truncate { len_bytes } => image.resize(*len_bytes as usize, 0),
        }
    }
}

impl Naming {
    fn touches(&self, dir: &str) -> bool {
        match self {
            Self::Link { path, .. } | Self::Unlink { path, .. } => folder_of(path) == dir,
            Self::Rename { from, to, .. } => folder_of(from) == dir || folder_of(to) == dir,
        }
    }

    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Link { path, inode } => {
                names.insert(path.clone(), *inode);
            }
            Self::Rename { from, to, inode } => {
                if names.get(from) == Some(inode) {
                    names.remove(from);
                }
                names.insert(to.clone(), *inode);
            }
            Self::Unlink { path, inode } => {
                if names.get(path) == Some(inode) {
                    names.remove(path);
                }
            }
        }
    }
}

impl Mercy {
    fn draw(random: &mut Random) -> Self {
        match random.below(4) {
            0 => Self::All,
            1 => Self::Nothing,
            _ => Self::Some,
        }
    }

    fn spares(self, random: &mut Random) -> bool {
        match self {
            Self::All => true,
            Self::Nothing => false,
            Self::Some => random.one_in(2),
        }
    }
}

/// Lets some sectors of a write survive.
fn tear(image: &mut Vec<u8>, at: u64, data: &[u8], random: &mut Random) {
    let mut from = at;
    let end = at + data.len() as u64;
    while from < end {
        let to = end.min((from / SECTOR_BYTES + 1) * SECTOR_BYTES);
        if random.one_in(2) {
            put(image, from, &data[(from - at) as usize..(to - at) as usize]);
        }
        from = to;
    }
}

fn put(image: &mut Vec<u8>, at: u64, data: &[u8]) {
    let from = at as usize;
    let to = from + data.len();
    if image.len() < to {
        image.resize(to, 0);
    }
    image[from..to].copy_from_slice(data);
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}
