//! How far consumer groups are: `DescribeGroupAccumulation`, `QueryTimeSpan` and `ResetGroupOffset`.
//!
//! Times of messages come from the queue index, so that they are the same after a restart: `last_consume_timestamp` is when
//! the newest message was stored that lies below a floor, which is what the reference server shows as well.
//! Cost: one or two reads of the index for each queue, which may wait for the disk.

use std::collections::HashMap;
use std::sync::Arc;

use engine::catalog::{ConsumerGroup, Topic};
use engine::group::{Backlog, Group, Place};
use store::Offset;
use store::index::IndexError;
use wire::v2::describe_group_accumulation_response::GroupAccumulation;
use wire::v2::query_time_span_response::QueueTimeSpan;
use wire::v2::{self, Code};

use super::{allow, named, no_lite_topics, resource, time_ms};
use crate::authorize::{Action, Resource};
use crate::call::Call;
use crate::gateway::{Gateway, name_of};
use crate::offsets::{refused, unread};
use crate::refusal::{Failure, Refusal, ok};
use crate::send::stored;
use crate::settings::duration;

/// What a consumer group has before it in one or more queues.
#[derive(Clone, Copy, Debug, Default)]
struct Accumulated {
    in_flight: u64,
    ready: u64,
    /// When the oldest ready message was stored.
    oldest_ready_ms: Option<u64>,
    /// When the newest message was stored that is done, with all before it.
    done_ms: Option<u64>,
}

impl Gateway {
    pub(super) async fn accumulation(
        &self,
        asked: &v2::DescribeGroupAccumulationRequest,
    ) -> Result<v2::DescribeGroupAccumulationResponse, Failure> {
        self.deployed(asked.deployment_name.as_ref())?;
        if asked.lite_topic.as_ref().is_some_and(|name| !name.is_empty()) {
            return Ok(no_lite_topics()?);
        }
        let (group, topics) = self.reads(asked.group.as_ref(), &asked.topics)?;
        let now_ms = self.now_ms();
        let counted = self
            .looked_up(move |log| {
                let each = topics.iter().map(|topic| {
                    let mut of_topic = Accumulated::default();
                    for backlog in log.backlog(topic, &group, now_ms) {
                        of_topic = of_topic.and(&accumulated(log, &backlog)?);
                    }
                    Ok((topic.spec.name.clone(), of_topic))
                });
                each.collect::<Result<Vec<_>, IndexError>>()
            })
            .await?;
        let all = counted.iter().fold(Accumulated::default(), |all, (_, of_topic)| all.and(of_topic));
        let topic_accumulation: HashMap<_, _> =
            counted.into_iter().map(|(name, of_topic)| (name, of_topic.told(now_ms))).collect();
        Ok(v2::DescribeGroupAccumulationResponse {
            status: Some(ok()),
            accumulation: Some(all.told(now_ms)),
            topic_accumulation,
            lite_topic_accumulation: HashMap::new(),
        })
    }

    pub(super) async fn time_spans(
        &self,
        asked: &v2::QueryTimeSpanRequest,
    ) -> Result<v2::QueryTimeSpanResponse, Failure> {
        self.deployed(asked.deployment_name.as_ref())?;
        let (group, topics) = self.reads(asked.group.as_ref(), &asked.topics)?;
        let now_ms = self.now_ms();
        let spans = self
            .looked_up(move |log| {
                let mut spans = Vec::new();
                for topic in &topics {
                    for backlog in log.backlog(topic, &group, now_ms) {
                        spans.push((topic.spec.name.clone(), backlog, span(log, &backlog, now_ms)?));
                    }
                }
                Ok(spans)
            })
            .await?;
        let told = spans.into_iter().map(|(topic, backlog, span)| QueueTimeSpan {
            message_queue: Some(self.message_queue(&topic, backlog.queue)),
            ..span
        });
        Ok(v2::QueryTimeSpanResponse { status: Some(ok()), queue_time_span_list: told.collect() })
    }

    /// As a move by our own service: all queues of the topic or none.
    pub(super) async fn reset(
        &self,
        call: &Call,
        asked: &v2::ResetGroupOffsetRequest,
    ) -> Result<v2::ResetGroupOffsetResponse, Failure> {
        self.deployed(asked.deployment_name.as_ref())?;
        let (name, group) = (name_of(asked.topic.as_ref()), name_of(asked.group.as_ref()));
        allow(Action::Administer, Resource::ConsumerGroup(group))?;
        let (group, topic) = (self.consumer_group(group)?, self.topic(name)?);
        let Some(time) = &asked.reset_timestamp else {
            return Err(Refusal::new(Code::BadRequest, "reset_timestamp is missing").into());
        };
        let place = Place::Time(time_ms("reset_timestamp", time)?);
        let queues = 0..topic.queues.len() as u32;
        let places =
            self.group.places(&topic, queues, place, self.now_ms()).map_err(|error| refused(&error))?;
        let moved = self.group.move_offsets(&group, &[(&topic, &places)], &call.mailbox);
        stored(Ok(moved.map_err(|error| refused(&error))?)).await?;
        Ok(v2::ResetGroupOffsetResponse { status: Some(ok()) })
    }

    pub(super) fn message_queue(&self, topic: &str, queue: u32) -> v2::MessageQueue {
        let broker = v2::Broker { name: self.config.group.clone(), id: 0, endpoints: None };
        v2::MessageQueue {
            topic: Some(resource(topic)),
            id: i32::try_from(queue).unwrap_or(i32::MAX),
            broker: Some(broker),
            ..Default::default()
        }
    }

    /// The group of a request and the topics that it is about: those named, or all that the group reads.
    fn reads(
        &self,
        group: Option<&v2::Resource>,
        topics: &[v2::Resource],
    ) -> Result<(Arc<ConsumerGroup>, Vec<Arc<Topic>>), Refusal> {
        let name = name_of(group);
        allow(Action::Describe, Resource::ConsumerGroup(name))?;
        let group = self.consumer_group(name)?;
        let named = topics.iter().filter_map(|topic| named(Some(topic)));
        let mut found = named.map(|name| self.topic(name)).collect::<Result<Vec<_>, _>>()?;
        if found.is_empty() {
            found = self.group.topics();
            found.retain(|topic| self.group.floor(topic, &group, 0).is_some());
        }
        Ok((group, found))
    }

    /// Does what may wait for the disk where that holds up nobody.
    async fn looked_up<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Group) -> Result<T, IndexError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let log = Arc::clone(&self.group);
        let looked = tokio::task::spawn_blocking(move || look(&log)).await;
        match looked {
            Ok(looked) => looked.map_err(|error| unread(&error)),
            // The runtime is going away.
            Err(error) => Err(Refusal::new(Code::InternalServerError, error.to_string())),
        }
    }
}

impl Accumulated {
    fn and(self, other: &Self) -> Self {
        let earliest = |one: Option<u64>, other: Option<u64>| one.into_iter().chain(other).min();
        Self {
            in_flight: self.in_flight + other.in_flight,
            ready: self.ready + other.ready,
            oldest_ready_ms: earliest(self.oldest_ready_ms, other.oldest_ready_ms),
            done_ms: self.done_ms.max(other.done_ms),
        }
    }

    fn told(self, now_ms: u64) -> GroupAccumulation {
        GroupAccumulation {
            inflight_messages: self.in_flight.cast_signed(),
            ready_messages: self.ready.cast_signed(),
            accumulation: (self.in_flight + self.ready).cast_signed(),
            deliver_delay_time: Some(duration(
                self.oldest_ready_ms.map_or(0, |stored_ms| now_ms.saturating_sub(stored_ms)),
            )),
            last_consume_timestamp: self.done_ms.unwrap_or(0).cast_signed(),
        }
    }
}

fn accumulated(log: &Group, backlog: &Backlog) -> Result<Accumulated, IndexError> {
    let stored_ms = |offset: Option<Offset>| match offset {
        Some(offset) => log.stored_ms(backlog.id, offset),
        None => Ok(None),
    };
    Ok(Accumulated {
        in_flight: backlog.in_flight,
        ready: backlog.ready,
        oldest_ready_ms: stored_ms(backlog.first_ready)?,
        done_ms: stored_ms(backlog.floor.0.checked_sub(1).map(Offset))?,
    })
}

/// 0 for what there is not.
fn span(log: &Group, backlog: &Backlog, now_ms: u64) -> Result<QueueTimeSpan, IndexError> {
    let stored_ms = |offset| log.stored_ms(backlog.id, offset);
    let is_behind = backlog.floor < backlog.tail;
    let newest = Offset(backlog.tail.0.saturating_sub(1));
    let consumed_ms = stored_ms(if is_behind { backlog.floor } else { newest })?;
    let delay_ms = consumed_ms.filter(|_| is_behind).map_or(0, |ms| now_ms.saturating_sub(ms));
    Ok(QueueTimeSpan {
        message_queue: None,
        min_timestamp: stored_ms(backlog.oldest)?.unwrap_or(0).cast_signed(),
        max_timestamp: stored_ms(newest)?.unwrap_or(0).cast_signed(),
        consume_timestamp: consumed_ms.unwrap_or(0).cast_signed(),
        delay_time_ms: delay_ms.cast_signed(),
    })
}
