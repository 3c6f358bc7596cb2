//! What goes on while the client is used: sessions, heartbeats, routes.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use prost::Message;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::debug;
use wire::frame;
use wire::v2::{self, telemetry_command::Command};

use super::route::broker_endpoints;
use super::settings::addresses;
use super::{Guidance, Readiness, Route, RouteQueue, Shared};
use crate::status::{AskError, check};
use crate::transport::{CallError, Link, Rpc};

const HEARTBEAT_EVERY: Duration = Duration::from_secs(10);
/// Heartbeats between two looks at the routes.
const ROUTES_EVERY: u32 = 3;
/// A consumer group may be given other settings meanwhile.
const SETTINGS_EVERY: Duration = Duration::from_secs(30);
const SESSION_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Asks for the queues of a topic and keeps the answer.
pub(crate) async fn query_route(shared: &Arc<Shared>, topic: &str) -> Result<Arc<Route>, AskError> {
    let request = v2::QueryRouteRequest {
        topic: Some(shared.resource(topic)),
        endpoints: Some(addresses(&shared.config.endpoints)),
    };
    let answer: v2::QueryRouteResponse = shared.access.call(Rpc::QueryRoute, &request).await?;
    check(answer.status.as_ref())?;
    let mut queues = Vec::with_capacity(answer.message_queues.len());
    for queue in answer.message_queues {
        queues.push(located(shared, queue)?);
    }
    if queues.is_empty() {
        return Err(AskError::NoQueue(topic.to_owned()));
    }
    let route = Arc::new(Route::new(queues));
    shared.routes.lock().insert(topic.to_owned(), route.clone());
    Ok(route)
}

/// The queues of a topic that a member of a consumer group reads, as its server likes to share them out.
pub(crate) async fn query_assignment(
    shared: &Arc<Shared>,
    topic: &str,
    group: v2::Resource,
) -> Result<Vec<RouteQueue>, AskError> {
    let request = v2::QueryAssignmentRequest {
        topic: Some(shared.resource(topic)),
        group: Some(group),
        endpoints: Some(addresses(&shared.config.endpoints)),
    };
    let answer: v2::QueryAssignmentResponse = shared.access.call(Rpc::QueryAssignment, &request).await?;
    check(answer.status.as_ref())?;
    let queues = answer.assignments.into_iter().filter_map(|assignment| assignment.message_queue);
    queues.map(|queue| located(shared, queue)).collect()
}

/// The queue with the way to its server, where a session is begun if it is new.
fn located(shared: &Arc<Shared>, queue: v2::MessageQueue) -> Result<RouteQueue, AskError> {
    let tls = shared.config.endpoints.first().is_some_and(|endpoint| endpoint.tls);
    let advertised = broker_endpoints(&queue, tls);
    let pinned = shared.config.pinned || advertised.is_empty();
    let endpoints = if pinned { shared.config.endpoints.clone() } else { advertised };
    let link = shared.link(endpoints).map_err(|error| CallError::Unreadable(error.to_string()))?;
    Ok(RouteQueue { queue, link })
}

/// Heartbeats and routes, until the session is closed or dropped.
pub(crate) async fn keep_up(shared: Arc<Shared>) {
    let mut ticks = interval(HEARTBEAT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut count = 0u32;
    loop {
        ticks.tick().await;
        {
            let has_left = shared.has_left.lock().await;
            if *has_left {
                return;
            }
            for link in shared.links() {
                heartbeat(&shared, &link).await;
            }
        }
        count = count.wrapping_add(1);
        if count.is_multiple_of(ROUTES_EVERY) {
            let topics: Vec<_> = shared.routes.lock().keys().cloned().collect();
            for topic in topics {
                if let Err(error) = query_route(&shared, &topic).await {
                    debug!(topic, %error, "routes stay as they were");
                }
            }
        }
    }
}

/// Holds a session with one server: settings there and back, then commands, until the session is dropped.
pub(crate) async fn hold_session(shared: Arc<Shared>, link: Arc<Link>, tell: watch::Sender<Readiness>) {
    loop {
        if let Err(error) = converse(&shared, &link, &tell).await {
            let peer = &link.endpoints()[0];
            debug!(%peer, %error, "session ended");
            tell.send_if_modified(|readiness| fail(readiness, error));
        }
        sleep(SESSION_AGAIN_AFTER).await;
    }
}

async fn converse(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    tell: &watch::Sender<Readiness>,
) -> Result<(), CallError> {
    let settings = settings_of(shared);
    let mut stream = link.converse(Rpc::Telemetry, &settings).await?;
    let mut again = interval(SETTINGS_EVERY);
    again.tick().await;
    loop {
        let message = tokio::select! {
            message = stream.next() => message?,
            _ = again.tick() => {
                let mut frame = BytesMut::new();
                frame::put(&mut frame, &settings_of(shared));
                stream.send(frame.freeze())?;
                continue;
            }
        };
        let Some(message) = message else { return Ok(()) };
        if !obey(shared, link, tell, v2::TelemetryCommand::decode(message)?) {
            return Ok(());
        }
    }
}

fn settings_of(shared: &Shared) -> v2::TelemetryCommand {
    let settings = Command::Settings(shared.role.settings(shared));
    v2::TelemetryCommand { status: None, command: Some(settings) }
}

/// Does what the server says; whether the session goes on.
fn obey(
    shared: &Shared,
    link: &Arc<Link>,
    tell: &watch::Sender<Readiness>,
    command: v2::TelemetryCommand,
) -> bool {
    match (command.status.as_ref().map(|status| check(Some(status))), command.command) {
        (Some(Err(refused)), _) => {
            tell.send_replace(Readiness::Refused(refused));
        }
        (_, Some(Command::Settings(settings))) => {
            *shared.guidance.lock() = Arc::new(Guidance::from_proto(&settings));
            tell.send_replace(Readiness::Ready);
        }
        (_, Some(Command::ReconnectEndpointsCommand(_))) => {
            link.reconnect();
            return false;
        }
        (_, Some(Command::RecoverOrphanedTransactionCommand(command))) => {
            if let Some(checker) = shared.role.checker() {
                // The program may take its time; other commands need not wait for it.
                let mut tasks = shared.tasks.lock();
                while tasks.try_join_next().is_some() {}
                tasks.spawn(checker.clone().answer(command, Arc::clone(link)));
            }
        }
        // The other commands are for consumers of kinds that this client does not have, or ask for what it cannot tell.
        (_, _) => {}
    }
    true
}

/// Notes why a session did not begin; one that had begun stays, since the server knows this client by now.
fn fail(readiness: &mut Readiness, error: CallError) -> bool {
    match (&*readiness, error) {
        (Readiness::Ready, _) => return false,
        (_, CallError::Grpc { code, message }) => *readiness = Readiness::Failed { code, message },
        (_, error) => *readiness = Readiness::Waiting(Some(error.to_string())),
    }
    true
}

async fn heartbeat(shared: &Arc<Shared>, link: &Arc<Link>) {
    let request = v2::HeartbeatRequest {
        group: shared.role.group(shared),
        client_type: shared.role.client_type().into(),
    };
    let answer: Result<v2::HeartbeatResponse, _> = link.call(Rpc::Heartbeat, &request).await;
    if let Err(error) = answer {
        let peer = &link.endpoints()[0];
        debug!(%peer, %error, "heartbeat failed");
        // A connection without answers may be half open: the other end is gone and nobody told us.
        if matches!(error, CallError::Timeout(_)) {
            link.reconnect();
        }
    }
}
