//! The protocol's messages as bytes.

use bytes::{BufMut, BytesMut};
use crds::group_record::MemberId;
use replica::event::{Beat, Hello, Message};
use replica::history::{EpochStart, History, Tip};
use store::{Epoch, Position};

use super::{FrameError, take_u8, take_u32, take_u64};

pub(crate) fn put_member(out: &mut BytesMut, member: MemberId) {
    out.put_u32_le(member.ordinal);
    out.put_u64_le(member.store);
}

pub(crate) fn take_member(head: &mut &[u8]) -> Result<MemberId, FrameError> {
    Ok(MemberId { ordinal: take_u32(head)?, store: take_u64(head)? })
}

pub(crate) fn put(out: &mut BytesMut, message: &Message) {
    match message {
        Message::Beat(beat) => {
            out.put_u8(0);
            put_beat(out, beat);
        }
        Message::Hello(hello) => {
            out.put_u8(1);
            out.put_u32_le(hello.epoch.0);
            out.put_u8(hello.is_dirty.into());
            put_option(out, hello.history.as_ref(), put_history);
        }
        Message::Align { epoch, session, to, of } => {
            put_numbers(out, 2, *epoch, &[*session, to.0]);
            put_tip(out, of);
        }
        Message::Seed { epoch, session, of } => {
            put_numbers(out, 3, *epoch, &[*session]);
            put_tip(out, of);
        }
        Message::Append { epoch, session, from, committed } => {
            put_numbers(out, 4, *epoch, &[*session, from.0, committed.0]);
        }
        Message::Ack { epoch, session, written, durable } => {
            put_numbers(out, 5, *epoch, &[*session, written.0, durable.0]);
        }
        Message::Reject { promised } => put_numbers(out, 6, *promised, &[]),
        Message::TakeOver { epoch } => put_numbers(out, 7, *epoch, &[]),
    }
}

pub(crate) fn take(head: &mut &[u8]) -> Result<Message, FrameError> {
    let kind = take_u8(head)?;
    if kind == 0 {
        return take_beat(head).map(Message::Beat);
    }
    let epoch = Epoch(take_u32(head)?);
    Ok(match kind {
        1 => {
            let is_dirty = take_bool(head)?;
            Message::Hello(Hello { epoch, is_dirty, history: take_option(head, take_history)? })
        }
        2 => {
            let (session, to) = (take_u64(head)?, take_position(head)?);
            Message::Align { epoch, session, to, of: take_tip(head)? }
        }
        3 => Message::Seed { epoch, session: take_u64(head)?, of: take_tip(head)? },
        4 => {
            let session = take_u64(head)?;
            Message::Append { epoch, session, from: take_position(head)?, committed: take_position(head)? }
        }
        5 => {
            let session = take_u64(head)?;
            Message::Ack { epoch, session, written: take_position(head)?, durable: take_position(head)? }
        }
        6 => Message::Reject { promised: epoch },
        7 => Message::TakeOver { epoch },
        other => return Err(FrameError::Unknown(other)),
    })
}

fn put_numbers(out: &mut BytesMut, kind: u8, epoch: Epoch, numbers: &[u64]) {
    out.put_u8(kind);
    out.put_u32_le(epoch.0);
    for &number in numbers {
        out.put_u64_le(number);
    }
}

fn put_beat(out: &mut BytesMut, beat: &Beat) {
    out.put_u32_le(beat.promised.0);
    put_option(out, beat.leads.as_ref(), |out, epoch| out.put_u32_le(epoch.0));
    put_option(out, beat.hears.as_ref(), |out, member| put_member(out, *member));
    out.put_u8(beat.is_leaving.into());
    out.put_u8(beat.is_dirty.into());
    out.put_u32_le(beat.last_epoch.0);
    out.put_u64_le(beat.written.0);
    out.put_u64_le(beat.committed.0);
}

fn take_beat(head: &mut &[u8]) -> Result<Beat, FrameError> {
    Ok(Beat {
        promised: Epoch(take_u32(head)?),
        leads: take_option(head, |head| take_u32(head).map(Epoch))?,
        hears: take_option(head, take_member)?,
        is_leaving: take_bool(head)?,
        is_dirty: take_bool(head)?,
        last_epoch: Epoch(take_u32(head)?),
        written: take_position(head)?,
        committed: take_position(head)?,
    })
}

fn put_tip(out: &mut BytesMut, tip: &Tip) {
    out.put_u32_le(tip.epoch.0);
    out.put_u64_le(tip.written.0);
}

fn take_tip(head: &mut &[u8]) -> Result<Tip, FrameError> {
    Ok(Tip { epoch: Epoch(take_u32(head)?), written: take_position(head)? })
}

fn put_history(out: &mut BytesMut, history: &History) {
    out.put_u64_le(history.written.0);
    out.put_u32_le(history.epochs.len() as u32);
    for began in &history.epochs {
        out.put_u32_le(began.epoch.0);
        out.put_u64_le(began.start.0);
    }
}

fn take_history(head: &mut &[u8]) -> Result<History, FrameError> {
    let written = take_position(head)?;
    let count = take_u32(head)?;
    let began = |_| Ok(EpochStart { epoch: Epoch(take_u32(head)?), start: take_position(head)? });
    let epochs: Vec<EpochStart> = (0..count).map(began).collect::<Result<_, FrameError>>()?;
    let is_rising = epochs.windows(2).all(|two| two[0].epoch < two[1].epoch && two[0].start <= two[1].start);
    if is_rising { Ok(History { epochs, written }) } else { Err(FrameError::Damaged) }
}

fn put_option<T>(out: &mut BytesMut, value: Option<&T>, put: impl Fn(&mut BytesMut, &T)) {
    out.put_u8(value.is_some().into());
    if let Some(value) = value {
        put(out, value);
    }
}

fn take_option<T>(
    head: &mut &[u8],
    take: impl FnOnce(&mut &[u8]) -> Result<T, FrameError>,
) -> Result<Option<T>, FrameError> {
    if take_bool(head)? { take(head).map(Some) } else { Ok(None) }
}

fn take_bool(head: &mut &[u8]) -> Result<bool, FrameError> {
    match take_u8(head)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(FrameError::Damaged),
    }
}

fn take_position(head: &mut &[u8]) -> Result<Position, FrameError> {
    take_u64(head).map(Position)
}
