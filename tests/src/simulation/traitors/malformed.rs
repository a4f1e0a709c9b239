//! Frames that are no messages: cut short, with something behind, with a bit turned, or of no sense at all.

use markstein_node::messages::{Heartbeat, Message};

use super::{Lie, Traitor};

pub struct Malformed;

impl Traitor for Malformed {
    fn name(&self) -> &'static str {
        "malformed"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["undecodable"]
    }

    fn say(&mut self, lie: &mut Lie<'_>, _: usize, message: &Message) -> Vec<Vec<u8>> {
        let good = message.encode();
        match lie.random.below(12) {
            0 => vec![good[..lie.random.below(good.len() as u64) as usize].to_vec(), good],
            1 => vec![[good.clone(), vec![0x08, 1]].concat(), good],
            2 => {
                let mut bad = good.clone();
                let at = lie.random.below(bad.len() as u64) as usize;
                bad[at] ^= 1 << lie.random.below(8);
                vec![bad, good]
            }
            _ => vec![good],
        }
    }

    fn beside(&mut self, lie: &mut Lie<'_>) -> Vec<Vec<u8>> {
        let length = lie.random.below(300) as usize;
        let truncated = Message::Heartbeat(Heartbeat::default()).encode()[..1].to_vec();
        vec![lie.bytes(length), Vec::new(), truncated]
    }
}
