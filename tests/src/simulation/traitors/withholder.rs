//! Builds blocks of batches that it gives to nobody, or to some, and gives them to all who ask much later.

use std::collections::BTreeMap;

use markstein_node::messages::Message;
use markstein_proto::{Batch, Hash};

use super::{Lie, Traitor};

/// Longest time that it keeps a batch back, in milliseconds: longer than anybody waits for the batches of one block.
const KEPT_MAX: u64 = 15_000;

#[derive(Default)]
pub struct Withholder {
    /// When it gives a batch.
    gives: BTreeMap<Hash, u64>,
}

impl Withholder {
    fn gives(&mut self, lie: &mut Lie<'_>, to: usize, bytes: &[u8]) -> bool {
        let Ok(batch) = Batch::decode(bytes.to_vec()) else { return true };
        let id = batch.id().0;
        let random = &mut *lie.random;
        let at = *self.gives.entry(id).or_insert_with(|| lie.now + random.below(KEPT_MAX));
        let is_favoured = id.0[0].is_multiple_of(2) && to.is_multiple_of(3);
        is_favoured || lie.now >= at
    }
}

impl Traitor for Withholder {
    fn name(&self) -> &'static str {
        "withholder"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["missing_batches"]
    }

    fn say(&mut self, lie: &mut Lie<'_>, to: usize, message: &Message) -> Vec<Vec<u8>> {
        let is_given = match message {
            Message::Batch(bytes) | Message::PoolBatch(bytes) => self.gives(lie, to, bytes),
            _ => true,
        };
        if is_given { vec![message.encode()] } else { Vec::new() }
    }

    fn floods(&self, _: usize) -> bool {
        false
    }
}
