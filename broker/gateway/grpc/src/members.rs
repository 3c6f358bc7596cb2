//! The members of the group that clients can dial one by one.
//!
//! ```text
//!   shop, shop.orders.svc     a client that dialled the Service, or a member,     shop-g0-0.shop-g0.orders.svc
//!   10.0.0.2                  is told all members that are in sync:         ──▶   shop-g0-2.shop-g0.orders.svc
//! ```
//!
//! Why: an SDK keeps a connection that fell silent for half a minute, and tries again elsewhere only if its route names
//! another broker.
//! Promise: whoever dialled anything else, through a tunnel or a node port for instance, is not sent where it cannot go.

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

    /// Whether a client that got here by this address can reach the others by theirs.
    fn are_reached_by(&self, dialled: &v2::Endpoints) -> bool {
        let [one] = dialled.addresses.as_slice() else { return false };
        let is_dialled =
            |address: &String| endpoints::of(address).is_some_and(|own| own.addresses == [one.clone()]);
        self.is_service(&one.host, one.port) || self.addresses.iter().any(is_dialled)
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
