//! What only the Lease promises.

use crds::group_record::{RECORD_ANNOTATION, REQUEST_ANNOTATION, Seen};
use serde_json::json;

use super::fake_api::{FakeApi, Way};
use super::place::{Door, Place};
use super::{next, until};
use crate::memory::Fault;
use crate::{Arbiter, ProposeError, ReadError};

async fn member(place: &Place) -> (Arbiter, FakeApi, Way) {
    match place.member().await {
        (arbiter, Door::Lease(api, way)) => (arbiter, api, way),
        _ => unreachable!("asked for a Lease"),
    }
}

async fn led_by(arbiter: &Arbiter, seen: &Seen, ordinal: u32) -> Seen {
    arbiter.propose(seen.version, &next(seen, ordinal, 1)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn only_what_the_server_refuses_is_called_not_written() {
    let place = Place::lease();
    let (arbiter, _, way) = member(&place).await;
    let base = arbiter.read().await.unwrap();
    for code in [408, 500, 502, 503, 504] {
        way.refuse(code);
        let outcome = arbiter.propose(base.version, &next(&base, 0, 1)).await;
        assert!(matches!(outcome, Err(ProposeError::Unknown(_))), "{code}: {outcome:?}");
    }
    for code in [400, 401, 403, 422, 429] {
        way.refuse(code);
        let outcome = arbiter.propose(base.version, &next(&base, 0, 1)).await;
        assert!(matches!(outcome, Err(ProposeError::Refused(_))), "{code}: {outcome:?}");
    }
    assert_eq!(arbiter.read().await, Ok(base));
}

#[tokio::test(start_paused = true)]
async fn an_own_write_that_was_repeated_on_the_way_is_no_conflict() {
    let place = Place::lease();
    let (arbiter, _, way) = member(&place).await;
    let base = arbiter.read().await.unwrap();
    let record = next(&base, 0, 1);
    let written = arbiter.propose(base.version, &record).await.unwrap();
    way.refuse(409);
    assert_eq!(arbiter.propose(base.version, &record).await, Ok(written));
}

#[tokio::test(start_paused = true)]
async fn a_proposal_writes_its_record_and_the_leader_and_nothing_else() {
    let place = Place::lease();
    let (arbiter, api, _) = member(&place).await;
    let base = arbiter.read().await.unwrap();
    let first = led_by(&arbiter, &base, 0).await;
    let same = led_by(&arbiter, &first, 0).await;
    led_by(&arbiter, &same, 1).await;
    let expected = |version: &str, revision: u32, leader: u32| {
        json!({
            "metadata": {
                "resourceVersion": version,
                "annotations": { RECORD_ANNOTATION: next_text(revision, leader) },
            },
        })
    };
    let held = |leader: &str, transitions: u32| {
        json!({
            "holderIdentity": leader,
            "acquireTime": "2027-01-15T08:00:00.123000Z",
            "renewTime": "2027-01-15T08:00:00.123000Z",
            "leaseDurationSeconds": 20,
            "leaseTransitions": transitions,
        })
    };
    let mut patches = [expected("1", 1, 0), expected("2", 2, 0), expected("3", 3, 1)];
    patches[0]["spec"] = held("0-0000000000000007", 0);
    patches[2]["spec"] = held("1-0000000000000007", 1);
    assert_eq!(api.patches(), patches);
    let object = api.object().unwrap();
    assert_eq!(object["metadata"]["annotations"]["example.org/theirs"], "kept");
    assert_eq!(object["spec"], held("1-0000000000000007", 1));
}

fn next_text(revision: u32, leader: u32) -> String {
    let member = format!("{leader}-0000000000000007");
    format!(
        r#"{{"v":1,"revision":{revision},"epoch":{revision},"leader":"{member}","inSync":["{member}"],"members":["{member}"],"minInSync":1,"nonce":1,"cause":"LeaderLost"}}"#
    )
}

#[tokio::test(start_paused = true)]
async fn a_renewal_touches_the_record_of_nobody() {
    let place = Place::lease();
    let (arbiter, api, _) = member(&place).await;
    let (other, ..) = member(&place).await;
    let renewed = arbiter.renew("0-0000000000000007").await.unwrap();
    let written = led_by(&other, &other.read().await.unwrap(), 1).await;
    let late = arbiter.renew("0-0000000000000007").await;
    assert_eq!(late, Err(ProposeError::Conflict(Box::new(written.clone()))));
    assert!(written.version > renewed.version);
    let deposed = arbiter.renew("0-0000000000000007").await;
    assert_eq!(deposed, late, "another leader is known: nothing is sent");
    let spec = &api.object().unwrap()["spec"];
    assert_eq!(
        (&spec["holderIdentity"], &spec["leaseTransitions"]),
        (&json!("1-0000000000000007"), &json!(1))
    );
    let again = other.renew("1-0000000000000007").await.unwrap();
    assert_eq!(again.record, written.record);
    assert!(api.patches().iter().filter(|patch| patch.get("spec").is_some()).count() == 4);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_cannot_be_read_says_why() {
    let place = Place::lease();
    let (arbiter, api, _) = member(&place).await;
    for name in [RECORD_ANNOTATION, REQUEST_ANNOTATION] {
        let whole = api.object().unwrap()["metadata"]["annotations"].clone();
        api.edit(|lease| drop(lease["metadata"]["annotations"].as_object_mut().unwrap().remove(name)));
        let error = arbiter.read().await.unwrap_err();
        assert!(matches!(&error, ReadError::Missing(what) if what.contains(name)), "{error}");
        api.edit(|lease| lease["metadata"]["annotations"] = whole);
    }
    api.break_version("0x12");
    assert_eq!(arbiter.read().await, Err(ReadError::Version("0x12".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn a_late_event_is_dropped_and_an_impossible_one_is_looked_into() {
    let place = Place::lease();
    let (arbiter, api, _) = member(&place).await;
    let old = api.object().unwrap();
    let mut changes = arbiter.changes();
    let watching = tokio::spawn(arbiter.clone().watch());
    until(&mut changes, Result::is_ok).await;
    let latest = led_by(&arbiter, &arbiter.read().await.unwrap(), 0).await;
    api.send_event(json!({"type": "MODIFIED", "object": old}));
    let mut strange = old.clone();
    strange["metadata"]["uid"] = json!("another");
    strange["metadata"]["resourceVersion"] = json!("90");
    api.send_event(json!({"type": "MODIFIED", "object": strange}));
    // What comes after both is heard, so both were passed.
    let last = led_by(&arbiter, &latest, 1).await;
    until(&mut changes, |held| {
        assert!(held.as_ref().is_ok_and(|held| held.record.revision >= 1), "{held:?}");
        held.as_ref().is_ok_and(|held| *held == last)
    })
    .await;
    watching.abort();
}

#[tokio::test(start_paused = true)]
async fn a_broken_way_is_told_and_a_mended_one_is_found() {
    let place = Place::lease();
    let (arbiter, api, way) = member(&place).await;
    let mut changes = arbiter.changes();
    way.set(Fault::Unreachable);
    let watching = tokio::spawn(arbiter.watch());
    until(&mut changes, |held| matches!(held, Err(ReadError::Unreachable(_)))).await;
    way.set(Fault::None);
    until(&mut changes, Result::is_ok).await;
    api.delete();
    until(&mut changes, |held| matches!(held, Err(ReadError::Missing(_)))).await;
    watching.abort();
}
