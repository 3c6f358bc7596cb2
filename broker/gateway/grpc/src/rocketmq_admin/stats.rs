//! `GetProxyRuntimeStats`: how much is going on right now.

use wire::v2::{self, ClientType};

use super::allow;
use crate::authorize::{Action, Resource};
use crate::gateway::Gateway;
use crate::refusal::{Refusal, ok};

impl Gateway {
    pub(super) fn runtime_stats(
        &self,
        _: v2::GetProxyRuntimeStatsRequest,
    ) -> Result<v2::GetProxyRuntimeStatsResponse, Refusal> {
        allow(Action::Describe, Resource::Broker)?;
        let rates = self.counters.rates();
        let (mut producers, mut consumers) = (0, 0);
        for session in self.sessions.all() {
            match session.profile().client_type {
                ClientType::Producer => producers += 1,
                ClientType::PushConsumer
                | ClientType::SimpleConsumer
                | ClientType::PullConsumer
                | ClientType::LitePushConsumer
                | ClientType::LiteSimpleConsumer => consumers += 1,
                ClientType::Unspecified => {}
            }
        }
        Ok(v2::GetProxyRuntimeStatsResponse {
            status: Some(ok()),
            proxy_name: self.config.host.clone(),
            version: self.config.version.clone(),
            in_tps: rates.sent,
            out_tps: rates.received,
            connections: self.counters.connections().cast_signed(),
            producers,
            consumers,
        })
    }
}
