//! The members of the group that clients can dial one by one.
//!
//! ```text
//!   shop, shop.orders.svc     a client that dialled the Service, or a member,     shop-g0-0.shop-g0.orders.svc
//!   10.0.0.2; 10.0.0.3        or some, is told all that are in sync:        ──▶   shop-g0-2.shop-g0.orders.svc
//! ```
//!
//! Why: an SDK keeps a connection that fell silent for half a minute, and tries again elsewhere only if its route names
//! another broker.
//! Promise: whoever dialled anything else, through a tunnel or a node port for instance, is not sent where it cannot go.
//! Limit: of several addresses that are not the members' own the Java SDK takes any, so that two ways may be one.

use std::fmt;
use std::sync::Arc;

use wire::v2;

use crate::endpoints;

/// The members of one group.
#[derive(Clone)]
pub struct Members {
    /// `host:port` of each for clients, by number.
    pub addresses: Vec<String>,
    /// `name.namespace.svc:port` that leads to any of them.
    pub service: Option<String>,
    /// The numbers of those in sync right now.
    pub in_sync: Arc<dyn Fn() -> Vec<u32> + Send + Sync>,
}

impl Members {
    /// The ways to the group for a client that dialled this, each with a number that stays its own.
    pub(crate) fn ways(&self, dialled: &v2::Endpoints) -> Vec<(u32, v2::Endpoints)> {
        if !self.are_reached_by(dialled) {
            return (0..).zip(endpoints::rotations(dialled)).collect();
        }
        let mut numbers = (self.in_sync)();
        numbers.sort_unstable();
        let way = |number: u32| Some((number, endpoints::of(self.addresses.get(number as usize)?)?));
        numbers.into_iter().filter_map(way).collect()
    }

    /// Whether a client that dialled this can reach each member by its address.
    fn are_reached_by(&self, dialled: &v2::Endpoints) -> bool {
        let is_member = |dialled: &v2::Address| {
            let is_dialled = |own: v2::Endpoints| own.addresses.first() == Some(dialled);
            self.addresses.iter().filter_map(|address| endpoints::of(address)).any(is_dialled)
        };
        let is_own =
            |address: &v2::Address| self.is_service(&address.host, address.port) || is_member(address);
        !dialled.addresses.is_empty() && dialled.addresses.iter().all(is_own)
    }

    /// `shop`, `shop.orders`, `shop.orders.svc` and `shop.orders.svc.` with whatever domain the cluster has.
    fn is_service(&self, host: &str, port: i32) -> bool {
        let Some((service, own_port)) = self.service.as_ref().and_then(|service| service.rsplit_once(':'))
        else {
            return false;
        };
        let rest =
            |longer: &str, shorter: &str| longer.strip_prefix(shorter).map(|rest| rest.starts_with('.'));
        let is_name =
            host == service || rest(host, service) == Some(true) || rest(service, host) == Some(true);
        is_name && own_port.parse() == Ok(port)
    }
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Members").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop() -> Members {
        let addresses = (0..3).map(|number| format!("shop-g0-{number}.shop-g0.orders.svc:8081")).collect();
        let service = Some("shop.orders.svc:8081".to_owned());
        Members { addresses, service, in_sync: Arc::new(|| vec![2, 0]) }
    }

    #[test]
    fn who_dialled_the_service_or_a_member_can_reach_all() {
        for dialled in [
            "shop:8081",
            "shop.orders:8081",
            "shop.orders.svc:8081",
            "shop.orders.svc.cluster.local:8081",
            "shop.orders.svc.:8081",
            "shop-g0-2.shop-g0.orders.svc:8081",
        ] {
            assert!(shop().are_reached_by(&endpoints::of(dialled).unwrap()), "{dialled}");
        }
    }

    #[test]
    fn who_typed_several_members_can_reach_all() {
        let typed = |hosts: &[&str]| {
            let address = |host: &&str| v2::Address { host: (*host).to_owned(), port: 8081 };
            v2::Endpoints { scheme: 0, addresses: hosts.iter().map(address).collect() }
        };
        let (one, other) = ("shop-g0-0.shop-g0.orders.svc", "shop-g0-2.shop-g0.orders.svc");
        assert!(shop().are_reached_by(&typed(&[other, one])));
        assert!(!shop().are_reached_by(&typed(&[one, "10.0.0.7"])));
        assert!(!shop().are_reached_by(&typed(&[])));
    }

    #[test]
    fn who_dialled_anything_else_is_not_sent_elsewhere() {
        for dialled in [
            "localhost:8081",
            "shop:30081",
            "sho:8081",
            "shop.other.svc:8081",
            "shop.orders.svcs:8081",
            "shop-g0-3.shop-g0.orders.svc:8081",
            "10.0.0.7:8081",
        ] {
            assert!(!shop().are_reached_by(&endpoints::of(dialled).unwrap()), "{dialled}");
        }
        let nameless = Members { service: None, ..shop() };
        assert!(!nameless.are_reached_by(&endpoints::of("shop:8081").unwrap()));
    }

    #[test]
    fn only_members_in_sync_are_named_in_the_order_of_their_numbers() {
        let numbers = |members: &Members| -> Vec<u32> {
            let ways = members.ways(&endpoints::of("shop:8081").unwrap());
            ways.into_iter().map(|(number, _)| number).collect()
        };
        assert_eq!(numbers(&shop()), [0, 2]);
        let beyond = Members { in_sync: Arc::new(|| vec![1, 9]), ..shop() };
        assert_eq!(numbers(&beyond), [1], "a number without an address is left out");
    }
}
