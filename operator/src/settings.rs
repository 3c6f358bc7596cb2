//! What the operator was told when it was started. Parsed once in `cli`, passed by value.

use std::time::Duration;

use client::{Endpoint, InvalidEndpoint};
use crds::names;

/// Address of a member's admin API in Kubernetes.
pub const ADMIN_ENDPOINT_DEFAULT: &str = "{cluster}-{group}-{ordinal}.{cluster}-{group}.{namespace}.svc:8082";

/// How the operator runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Image of brokers when a cluster names none.
    pub broker_image: String,
    /// When nodes pull it; none: Kubernetes decides by the tag.
    pub broker_image_pull_policy: Option<String>,
    /// Brokers log JSON.
    pub broker_log_json: bool,
    /// Namespace of the operator itself: its pods may use the brokers' admin port.
    pub namespace: String,
    /// Where the admin API of a member is, with placeholders.
    pub admin_endpoint: EndpointTemplate,
    /// How often everything is compared with the brokers although nothing changed.
    pub resync: Duration,
    /// Objects whose status is written at the same time.
    pub writes_max: usize,
}

/// An address with the placeholders `{cluster}`, `{namespace}`, `{group}` and `{ordinal}`. Without the last one all
/// members of a group are asked at one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointTemplate(String);

impl Default for EndpointTemplate {
    fn default() -> Self {
        Self(ADMIN_ENDPOINT_DEFAULT.to_owned())
    }
}

impl EndpointTemplate {
    /// Reads a template; refuses one that makes no endpoint.
    pub fn parse(text: &str) -> Result<Self, InvalidEndpoint> {
        let template = Self(text.to_owned());
        template.endpoint("namespace", "cluster", 0, 0)?;
        Ok(template)
    }

    /// The address of a member.
    pub fn endpoint(
        &self,
        namespace: &str,
        cluster: &str,
        group: u32,
        ordinal: u32,
    ) -> Result<Endpoint, InvalidEndpoint> {
        self.0
            .replace("{namespace}", namespace)
            .replace("{cluster}", cluster)
            .replace("{group}", &names::group_name(group))
            .replace("{ordinal}", &ordinal.to_string())
            .parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_the_stable_name_of_the_member() {
        let endpoint = EndpointTemplate::default().endpoint("prod", "shop", 3, 1).unwrap();
        assert_eq!(endpoint.to_string(), "shop-g3-1.shop-g3.prod.svc:8082");
    }

    #[test]
    fn a_template_that_makes_no_endpoint_is_refused() {
        assert!(EndpointTemplate::parse("{cluster}").is_err());
        assert!(EndpointTemplate::parse("127.0.0.1:1808{number}").is_err());
    }
}
