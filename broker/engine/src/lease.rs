//! Leases: which messages of one queue a consumer group holds, and until when.
//!
//! A group reads a queue from `next`; everything below is done, held or ready to be handed out again:
//!
//! ```text
//!   0 ........ floor ....[lease]..ready..[lease]....... next ............ tail
//!     all done            held    again                  never given out
//! ```
//!
//! Promise: an offset below `next` is done, or ready, or in exactly one lease; a receipt is good for one lease only.
//! Of a group that reads in order, a message is handed out only when all before it in its line are done (`lines`).
//! Cost: a grant makes one lease of up to 64 neighbours: about 100 B for a lone message, 3 B each in batches of 32;
//! grant, ack, extend and renew are O(log leases). Leases end lazily, when somebody asks with a later `now_ms`.
//! Not here: where messages lie (`store::index`), tags and dead letters (`group`), how state survives (`fold`).

mod claim;
mod deliveries;
mod error;
mod grant;
mod held;
mod lines;
mod mask;
mod ready;
mod standing;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use deliveries::Deliveries;
pub use error::{LeaseError, Receipt};
pub(crate) use grant::{Grant, Wish};
pub(crate) use held::contains;
pub use standing::Standing;
pub(crate) use state::{Held, State};
