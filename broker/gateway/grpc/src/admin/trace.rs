//! What happened to one stored message, and how consumer groups stand to it.

use engine::group::{Event, Group, Happened, SearchError, Sighting, Spot, Trail, TrailError};
use engine::lease::Standing;
use store::Position;
use store::log::ReadError;
use tracing::error;
use wire::admin::{self, Code, TraceState, TraceWhat};

use super::find::messages_of;
use super::look::Patience;
use crate::gateway::Gateway;

pub(super) fn trace(
    gateway: &Gateway,
    request: &admin::TraceMessageRequest,
    patience: &Patience,
) -> admin::TraceMessageResponse {
    match follow(gateway, request, patience) {
        Ok(answer) => answer,
        Err((code, message)) => {
            let name = request.position.to_string();
            let result = Some(admin::Result { name, code: code.into(), message });
            admin::TraceMessageResponse { result, ..Default::default() }
        }
    }
}

fn follow(
    gateway: &Gateway,
    request: &admin::TraceMessageRequest,
    patience: &Patience,
) -> Result<admin::TraceMessageResponse, (Code, String)> {
    let group = &gateway.group;
    let position = Position(request.position);
    let number = u16::try_from(request.number)
        .map_err(|_| (Code::Invalid, format!("a record has no message {}", request.number)))?;
    let mut trail =
        group.trail(position, request.bytes, number, &request.scroll).map_err(|error| no_trail(&error))?;
    let mut goes_on = true;
    while goes_on {
        goes_on = group.trail_on(&mut trail).map_err(|error| unreadable(&error))?;
        if patience.is_over() {
            break;
        }
    }
    let told = Told { group };
    let mut answer = admin::TraceMessageResponse {
        result: Some(super::describe::found(request.position.to_string())),
        damaged: trail.damaged(),
        ..Default::default()
    };
    if request.scroll.is_empty() {
        let sighting = Sighting::from(trail.record());
        let message = messages_of(group, &sighting).next().map(|(_, message)| message);
        answer.message = message.map(|message| admin::StoredMessage { number: request.number, ..message });
        answer.body = trail.record().body();
        answer.events.push(told.stored(&trail));
    }
    answer.events.extend(trail.events().iter().map(|event| told.event(event)));
    if goes_on {
        answer.scroll = trail.scroll().into();
    } else {
        let standings = group.standings(&trail, gateway.now_ms());
        answer.standings = standings.into_iter().map(|standing| told.standing(standing)).collect();
    }
    Ok(answer)
}

fn no_trail(error: &TrailError) -> (Code, String) {
    let code = match error {
        TrailError::NotThere(_) | TrailError::Read(ReadError::Trimmed { .. }) => Code::NotFound,
        TrailError::Scroll | TrailError::Bytes(_) | TrailError::Read(ReadError::OutOfRange { .. }) => {
            Code::Invalid
        }
        TrailError::Read(ReadError::Corrupt { .. } | ReadError::Io { .. }) => {
            error!(%error, "a message cannot be traced");
            Code::Unavailable
        }
    };
    (code, error.to_string())
}

fn unreadable(error: &SearchError) -> (Code, String) {
    error!(%error, "the log cannot be looked through");
    (Code::Unavailable, error.to_string())
}

/// Names for ids.
struct Told<'a> {
    group: &'a Group,
}

impl Told<'_> {
    fn stored(&self, trail: &Trail) -> admin::TraceEvent {
        let sighting = Sighting::from(trail.record());
        let place = sighting.offset.map(|offset| Spot { queue: sighting.queue, offset });
        let at_ms = sighting.stored_ms;
        admin::TraceEvent { at_ms, what: TraceWhat::Stored.into(), ..self.place(place) }
    }

    fn event(&self, event: &Event) -> admin::TraceEvent {
        let mut told = admin::TraceEvent { at_ms: event.at_ms, ..self.place(event.place) };
        let what = match &event.what {
            Happened::Visible => TraceWhat::Visible,
            Happened::Recalled => TraceWhat::Recalled,
            Happened::Committed => TraceWhat::Committed,
            Happened::RolledBack => TraceWhat::RolledBack,
            Happened::GivenUp => TraceWhat::GivenUp,
            Happened::Delivered { group, attempt, client } => {
                told.consumer_group = self.consumer_group(*group);
                told.attempt = u32::from(*attempt);
                told.client_id = client.clone().unwrap_or_default();
                TraceWhat::Delivered
            }
            Happened::Done { group } => {
                told.consumer_group = self.consumer_group(*group);
                TraceWhat::Done
            }
            Happened::Moved { group, is_behind } => {
                told.consumer_group = self.consumer_group(*group);
                if *is_behind { TraceWhat::PassedOver } else { TraceWhat::AgainUnread }
            }
            Happened::DeadLettered { group, attempts } => {
                told.consumer_group.clone_from(group);
                told.attempt = u32::from(*attempts);
                TraceWhat::DeadLettered
            }
        };
        told.what = what.into();
        told
    }

    fn standing(&self, (group, place, standing): (u32, Spot, Standing)) -> admin::TraceStanding {
        let (state, attempts, until_ms) = match standing {
            Standing::Unread => (TraceState::Unread, 0, 0),
            Standing::Ready { attempts } => (TraceState::Ready, attempts, 0),
            Standing::Held { until_ms, attempts } => (TraceState::Held, attempts, until_ms),
            Standing::Leaving => (TraceState::Leaving, 0, 0),
            Standing::Finished => (TraceState::Finished, 0, 0),
        };
        let admin::TraceEvent { topic, queue, .. } = self.place(Some(place));
        admin::TraceStanding {
            consumer_group: self.consumer_group(group),
            topic,
            queue,
            offset: place.offset.0,
            state: state.into(),
            attempts: u32::from(attempts),
            until_ms,
        }
    }

    /// An event of which only the place is known.
    fn place(&self, place: Option<Spot>) -> admin::TraceEvent {
        let Some(place) = place else { return admin::TraceEvent::default() };
        let topic = self.group.topic_of(place.queue);
        let number = topic.as_ref().and_then(|topic| topic.queues.iter().position(|id| *id == place.queue));
        admin::TraceEvent {
            topic: topic.map(|topic| topic.spec.name.clone()).unwrap_or_default(),
            queue: number.unwrap_or(0) as u32,
            offset: Some(place.offset.0),
            ..Default::default()
        }
    }

    /// Its number, if it was deleted.
    fn consumer_group(&self, id: u32) -> String {
        let group = self.group.consumer_group_by_id(id);
        group.map_or_else(|| id.to_string(), |group| group.spec.name.clone())
    }
}
