//! Moving consumer groups to other places.

use std::sync::Arc;

use engine::catalog::{ConsumeFrom, ConsumerGroup, Topic};
use engine::group::{MoveError, Place};
use engine::mailbox::Mailbox;
use store::Offset;
use wire::admin::move_offsets_request::To;
use wire::admin::{self, Code};

use super::convert;
use crate::gateway::Gateway;

/// What is to be done to one topic.
struct Move {
    topic: Arc<Topic>,
    places: Vec<(u32, Offset)>,
}

/// Moves what the request names; all of it is looked at before anything is done.
pub(super) async fn move_offsets(
    gateway: &Gateway,
    mailbox: &Arc<Mailbox>,
    request: admin::MoveOffsetsRequest,
) -> admin::MoveOffsetsResponse {
    let name = request.group.clone();
    let answer = |code: Code, message, moves| admin::MoveOffsetsResponse {
        result: Some(admin::Result { name: name.clone(), code: code.into(), message }),
        moves,
    };
    let Some(group) = gateway.group.consumer_group(&name) else {
        return answer(Code::NotFound, format!("consumer group `{name}` does not exist"), Vec::new());
    };
    let moves = match moves(gateway, &group, &request) {
        Ok(moves) => moves,
        Err((code, message)) => return answer(code, message, Vec::new()),
    };
    let told = moves.iter().flat_map(|of| told(gateway, &group, of)).collect();
    if request.dry_run {
        return answer(Code::Unchanged, String::new(), told);
    }
    let topics: Vec<_> = moves.iter().map(|of| (&*of.topic, of.places.as_slice())).collect();
    let stored = match gateway.group.move_offsets(&group, &topics, mailbox) {
        Ok(ticket) => ticket.await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match stored {
        Ok(_) => answer(Code::Changed, String::new(), told),
        Err(message) => answer(Code::Unavailable, message, Vec::new()),
    }
}

fn moves(
    gateway: &Gateway,
    group: &ConsumerGroup,
    request: &admin::MoveOffsetsRequest,
) -> Result<Vec<Move>, (Code, String)> {
    let place = place(request.to.as_ref()).map_err(|why| (Code::Invalid, why))?;
    let named = request.topics.iter().map(|name| {
        gateway.group.topic(name).ok_or_else(|| (Code::NotFound, format!("topic `{name}` does not exist")))
    });
    let mut topics = named.collect::<Result<Vec<_>, _>>()?;
    if topics.is_empty() {
        topics = gateway.group.topics_read_by(group);
    }
    let all = |topic: &Topic| 0..topic.queues.len() as u32;
    let moves = topics.into_iter().map(|topic| {
        let queues: Vec<u32> = request.queue.map_or_else(|| all(&topic).collect(), |queue| vec![queue]);
        let places = gateway.group.places(&topic, queues.into_iter(), place, gateway.now_ms());
        Ok(Move { places: places.map_err(|error| refused(&error))?, topic })
    });
    moves.collect()
}

fn place(to: Option<&To>) -> Result<Place, String> {
    Ok(match to {
        Some(To::Place(number)) => match convert::consume_from(*number, 0)? {
            ConsumeFrom::Earliest => Place::Earliest,
            ConsumeFrom::Latest => Place::Latest,
            ConsumeFrom::Time(_) => return Err("place: a time is given as time_ms".to_owned()),
        },
        Some(To::TimeMs(ms)) => Place::Time(*ms),
        Some(To::Offset(offset)) => Place::Offset(Offset(*offset)),
        None => return Err("where to is missing: give a place, a time or an offset".to_owned()),
    })
}

fn refused(error: &MoveError) -> (Code, String) {
    let code = match error {
        MoveError::NoSuchQueue { .. } => Code::NotFound,
        MoveError::BeyondTail { .. } | MoveError::InFuture { .. } => Code::Invalid,
        MoveError::Submit(_) | MoveError::Index(_) => Code::Unavailable,
    };
    (code, error.to_string())
}

fn told(gateway: &Gateway, group: &ConsumerGroup, of: &Move) -> Vec<admin::MovedOffset> {
    let moved = |&(queue, to): &(u32, Offset)| admin::MovedOffset {
        topic: of.topic.spec.name.clone(),
        queue,
        from: gateway.group.floor(&of.topic, group, queue).map(|offset| offset.0),
        to: to.0,
    };
    of.places.iter().map(moved).collect()
}
