//! `Heartbeat` and `NotifyClientTermination`: a client's signs of life, and its farewell.

use wire::v2::{self, ClientType, Code};

use crate::authorize::{Action, Principal, Resource, authorize};
use crate::call::Call;
use crate::gateway::Gateway;
use crate::refusal::{Refusal, ok};

impl Gateway {
    /// A client that is not known yet is taken in: after a restart of the broker some clients send heartbeats long before
    /// they send their settings again, and its leases must live.
    pub(crate) fn heartbeat(
        &self,
        call: &Call,
        request: &v2::HeartbeatRequest,
    ) -> Result<v2::HeartbeatResponse, Refusal> {
        call.identified()?;
        let client_type = known_type(request.client_type)?;
        let group = request
            .group
            .as_ref()
            .map(|group| group.name.as_str())
            .filter(|_| client_type != ClientType::Producer);
        if let Some(group) = group {
            authorize(Principal::Anonymous, Action::Subscribe, Resource::ConsumerGroup(group))?;
            wire::validate::group(group)?;
        }
        let session = self.sessions.touch(call, self.now_ms())?;
        session.learn(|profile| {
            profile.client_type = client_type;
            profile.remote = call.remote;
            if profile.group.as_deref() != group {
                profile.group = group.map(str::to_owned);
            }
        });
        Ok(v2::HeartbeatResponse { status: Some(ok()) })
    }

    /// Ends the session and gives back what the client held. When its telemetry stream is on another connection the id may
    /// belong to two clients, and only what was handed out on this connection is given back.
    pub(crate) fn terminate(
        &self,
        call: &Call,
        request: &v2::NotifyClientTerminationRequest,
    ) -> Result<v2::NotifyClientTerminationResponse, Refusal> {
        call.identified()?;
        if let Some(group) = &request.group {
            authorize(Principal::Anonymous, Action::Subscribe, Resource::ConsumerGroup(&group.name))?;
        }
        let Some(session) = self.sessions.find(call.client_id()) else {
            let text = format!("client `{}` is not known", wire::validate::Shown::from(call.client_id()));
            return Err(Refusal::new(Code::UnrecognizedClientType, text));
        };
        let elsewhere = session.profile().stream.is_some_and(|stream| stream.remote != call.remote);
        if !elsewhere {
            self.sessions.end(call.client_id());
        }
        self.renewals.give_back(&self.group, &session, elsewhere.then_some(call.remote), self.now_ms());
        Ok(v2::NotifyClientTerminationResponse { status: Some(ok()) })
    }
}

fn known_type(number: i32) -> Result<ClientType, Refusal> {
    match ClientType::try_from(number) {
        Ok(
            known @ (ClientType::Producer
            | ClientType::PushConsumer
            | ClientType::SimpleConsumer
            | ClientType::PullConsumer
            | ClientType::LitePushConsumer
            | ClientType::LiteSimpleConsumer),
        ) => Ok(known),
        Ok(ClientType::Unspecified) | Err(_) => Err(Refusal::new(
            Code::UnrecognizedClientType,
            format!(
                "client type {number} is none of PRODUCER, PUSH_CONSUMER, SIMPLE_CONSUMER, PULL_CONSUMER and the lite kinds"
            ),
        )),
    }
}
