use std::collections::BTreeSet;

use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;

use super::*;

fn member() -> impl Strategy<Value = MemberId> {
    (any::<u32>(), any::<u64>()).prop_map(|(ordinal, store)| MemberId { ordinal, store })
}

fn cause() -> impl Strategy<Value = Cause> {
    prop::sample::select(vec![
        Cause::Created,
        Cause::Started,
        Cause::LeaderLost,
        Cause::HandOver,
        Cause::Shrunk,
        Cause::Expanded,
        Cause::Reconfigured,
        Cause::Unclean,
    ])
}

fn unclean() -> impl Strategy<Value = UncleanElection> {
    ("\\PC{0,12}", any::<u32>()).prop_map(|(token, epoch)| UncleanElection { token, epoch })
}

/// Records that hold what every record must hold.
fn record() -> impl Strategy<Value = GroupRecord> {
    let ever = (1_u32.., member(), btree_set(member(), 0..3), btree_set(member(), 0..3));
    let rest = (any::<u64>(), 1_u32.., any::<u64>(), cause(), vec(unclean(), 0..3));
    (option::of(ever), rest).prop_map(|(ever, (revision, min_in_sync, nonce, cause, unclean))| {
        let new = GroupRecord { revision, nonce, cause, unclean, ..GroupRecord::created(min_in_sync) };
        let Some((epoch, leader, mut in_sync, learning)) = ever else { return new };
        in_sync.insert(leader);
        let members = in_sync.union(&learning).copied().collect();
        GroupRecord { epoch, leader: Some(leader), in_sync, members, ..new }
    })
}

fn request() -> impl Strategy<Value = GroupRequest> {
    let token = ("\\PC{0,12}", any::<u32>(), any::<u32>()).prop_map(|(token, epoch, ordinal)| UncleanToken {
        token,
        epoch,
        ordinal,
    });
    let fields =
        (any::<u32>(), any::<u32>(), any::<Option<u32>>(), btree_set(any::<u32>(), 0..3), option::of(token));
    fields.prop_map(|(copies, min_in_sync, leader, fenced, unclean)| GroupRequest {
        format: FORMAT,
        copies,
        min_in_sync,
        leader,
        fenced,
        unclean,
    })
}

proptest! {
    #[test]
    fn a_cause_has_the_name_that_stands_in_a_record(cause in cause()) {
        prop_assert_eq!(serde_json::to_string(&cause).unwrap(), format!("\"{}\"", cause.name()));
    }

    #[test]
    fn a_record_is_read_back_as_it_was_written(record in record()) {
        prop_assert_eq!(GroupRecord::from_json(&record.to_json()), Ok(record));
    }

    #[test]
    fn a_request_is_read_back_as_it_was_written(request in request()) {
        prop_assert_eq!(GroupRequest::from_json(&request.to_json()), Ok(request));
    }

    #[test]
    fn a_member_has_one_spelling(id in member(), other in "[0-9a-fA-F+ -]{0,20}") {
        prop_assert_eq!(id.to_string().parse(), Ok(id));
        if let Ok(id) = other.parse::<MemberId>() {
            prop_assert_eq!(id.to_string(), other);
        }
    }

    #[test]
    fn a_later_format_is_called_by_its_name_whatever_else_is_in_it(
        record in record(), later in FORMAT + 1.., key in "[a-z]{1,8}",
    ) {
        let mut json: serde_json::Value = serde_json::from_str(&record.to_json()).unwrap();
        json[&key] = true.into();
        json["v"] = later.into();
        let text = json.to_string();
        prop_assert_eq!(GroupRecord::from_json(&text), Err(FormatError::Later(later)));
        prop_assert_eq!(GroupRequest::from_json(&text), Err(FormatError::Later(later)));
    }

    #[test]
    fn no_text_makes_the_reader_stop(text in "\\PC{0,64}") {
        let _ = (GroupRecord::from_json(&text), GroupRequest::from_json(&text));
    }
}

fn id(ordinal: u32) -> MemberId {
    MemberId { ordinal, store: 0xa0 + u64::from(ordinal) }
}

fn trio() -> GroupRecord {
    GroupRecord {
        format: FORMAT,
        revision: 12,
        epoch: 3,
        leader: Some(id(1)),
        in_sync: BTreeSet::from([id(0), id(1)]),
        members: BTreeSet::from([id(0), id(1), id(2)]),
        min_in_sync: 2,
        nonce: 77,
        cause: Cause::LeaderLost,
        unclean: vec![UncleanElection { token: "t1".to_owned(), epoch: 2 }],
    }
}

#[test]
fn the_annotations_look_like_this_and_stay_like_this() {
    let record = r#"{"v":1,"revision":12,"epoch":3,"leader":"1-00000000000000a1","inSync":["0-00000000000000a0","1-00000000000000a1"],"members":["0-00000000000000a0","1-00000000000000a1","2-00000000000000a2"],"minInSync":2,"nonce":77,"cause":"LeaderLost","unclean":[{"token":"t1","epoch":2}]}"#;
    assert_eq!(trio().to_json(), record);
    let created = r#"{"v":1,"revision":0,"epoch":0,"inSync":[],"members":[],"minInSync":2,"nonce":0,"cause":"Created"}"#;
    assert_eq!(GroupRecord::created(2).to_json(), created);

    let request = GroupRequest {
        copies: 3,
        min_in_sync: 2,
        leader: Some(0),
        fenced: BTreeSet::from([2]),
        unclean: Some(UncleanToken { token: "t2".to_owned(), epoch: 3, ordinal: 2 }),
        ..GroupRequest::default()
    };
    let text = r#"{"v":1,"copies":3,"minInSync":2,"leader":0,"fenced":[2],"unclean":{"token":"t2","epoch":3,"ordinal":2}}"#;
    assert_eq!(request.to_json(), text);
    assert_eq!(GroupRequest::default().to_json(), r#"{"v":1,"copies":1,"minInSync":1}"#);
}

#[test]
fn a_record_that_contradicts_itself_is_refused() {
    type Spoil = fn(&mut GroupRecord);
    let wrong: [(&str, Spoil); 6] = [
        ("an epoch or members without a leader", |r| r.leader = None),
        ("a leader of epoch 0", |r| r.epoch = 0),
        ("the leader is not in sync", |r| r.in_sync.retain(|member| *member != id(1))),
        ("the leader is not in sync", |r| r.leader = Some(MemberId { store: 1, ..id(1) })),
        ("in sync and not a member", |r| r.members.retain(|member| *member != id(0))),
        ("minInSync is 0", |r| r.min_in_sync = 0),
    ];
    for (what, spoil) in wrong {
        let mut record = trio();
        spoil(&mut record);
        assert_eq!(GroupRecord::from_json(&record.to_json()), Err(FormatError::Contradiction(what)));
    }
}

#[test]
fn an_unknown_key_is_refused_not_lost_with_the_next_write() {
    let text = trio().to_json().replace("\"nonce\"", "\"colour\":1,\"nonce\"");
    assert!(matches!(GroupRecord::from_json(&text), Err(FormatError::Shape(_))));
    let text = GroupRequest::default().to_json().replace("\"copies\"", "\"colour\":1,\"copies\"");
    assert!(matches!(GroupRequest::from_json(&text), Err(FormatError::Shape(_))));
}

#[test]
fn what_is_no_member_is_refused_by_its_text() {
    for wrong in ["", "1", "-1", "1-a1", "01-00000000000000a1", "1-00000000000000A1", "1-00000000000000a1 "] {
        assert_eq!(wrong.parse::<MemberId>(), Err(FormatError::Member(wrong.to_owned())));
    }
}
