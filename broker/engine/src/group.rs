//! One broker group: the facade that gateways, the admin API and the background work call.

use std::sync::Arc;

use store::disk::Disk;
use store::log::{LogConfig, Record};
use store::{Epoch, Offset, Position, QueueId};

use crate::catalog::{ApplyOutcome, ConsumerGroup, ConsumerGroupSpec, Adopt, Topic, TopicSpec};
use crate::inbox::{Busy, Ticket};
use crate::lease::{LeaseError, Receipt};
use crate::mailbox::Mailbox;
use crate::writer::Writer;
