//! Disks that grow.

use crds::broker_config::BrokerConfig;

use super::*;

const GIB: u64 = 1 << 30;

/// The claims of the first group ask for this and have that, one after the other.
fn with_disks(observed: &mut Observed, disks: &[(&str, &str)]) {
    for (claim, (requested, capacity)) in observed.claims.values_mut().zip(disks) {
        claim.requested = (*requested).to_owned();
        claim.capacity = Some((*capacity).to_owned());
    }
}

/// Bytes of the log that the brokers of the first group keep.
fn kept(plan: &Plan) -> Option<u64> {
    let config = plan.children.iter().find_map(|child| {
        let Child::ConfigMap(config) = child else { return None };
        config.data.as_ref()?.values().next()
    });
    BrokerConfig::from_yaml(config.unwrap()).unwrap().log.retention_bytes
}

fn larger(copies: u32) -> (BrokerCluster, Observed) {
    let spec = |size: &str| json!({ "copies": copies, "storage": { "size": size } });
    (cluster(&spec("20Gi")), settled(&cluster(&spec("10Gi"))))
}

#[test]
fn brokers_keep_more_when_the_disk_is_larger_and_not_before() {
    let (cluster, mut observed) = larger(1);
    for (disk, growths, growing, bytes) in [
        (("10Gi", "10Gi"), 1, 0, 8 * GIB),
        (("20Gi", "10Gi"), 0, 1, 8 * GIB),
        (("20Gi", "20Gi"), 0, 0, 16 * GIB),
        (("20Gi", "24Gi"), 0, 0, 16 * GIB),
    ] {
        with_disks(&mut observed, &[disk]);
        let plan = planned(&cluster, &observed);
        assert_eq!(
            (plan.growths.len(), plan.growing.len(), kept(&plan)),
            (growths, growing, Some(bytes)),
            "{disk:?}"
        );
        assert_eq!((&plan.problem, &plan.restart), (&None, &None));
    }
}

#[test]
fn a_disk_that_grows_is_reported_with_its_sizes() {
    let (cluster, mut observed) = larger(1);
    with_disks(&mut observed, &[("20Gi", "10Gi")]);
    let status = report(&cluster, &observed, &planned(&cluster, &observed), noon()).status;
    let reconciling = conditions::find(&status.conditions, Kind::Reconciling).unwrap();
    assert_eq!((reconciling.status.as_str(), reconciling.reason.as_str()), ("True", "Growing"));
    assert_eq!(reconciling.message, "Kubernetes enlarges data-shop-g0-0 (10Gi of 20Gi)");
}

#[test]
fn the_smallest_disk_of_a_group_counts() {
    let (cluster, mut observed) = larger(3);
    with_disks(&mut observed, &[("20Gi", "20Gi"), ("20Gi", "10Gi"), ("20Gi", "20Gi")]);
    let plan = planned(&cluster, &observed);
    assert_eq!(
        (plan.growing.as_slice(), kept(&plan)),
        (["data-shop-g0-1 (10Gi of 20Gi)".to_owned()].as_slice(), Some(8 * GIB))
    );
}

#[test]
fn a_limit_of_the_log_that_fits_the_smaller_disk_stays() {
    let (mut cluster, mut observed) = larger(1);
    with_disks(&mut observed, &[("20Gi", "10Gi")]);
    for (size, bytes) in [("4Gi", 4 * GIB), ("15Gi", 8 * GIB)] {
        cluster.spec.retention.max_size = Some(crds::amount::Quantity(size.to_owned()));
        assert_eq!(kept(&planned(&cluster, &observed)), Some(bytes), "{size}");
    }
}
