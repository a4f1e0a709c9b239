//! Everything it ever said, again and again, in any order, to everybody.

use markstein_node::messages::Message;

use super::{Lie, Traitor};

const REMEMBERED: usize = 400;

#[derive(Default)]
pub struct Replayer(Vec<Vec<u8>>);

impl Traitor for Replayer {
    fn name(&self) -> &'static str {
        "replayer"
    }

    /// What it says is true, or was.
    fn kinds(&self) -> &'static [&'static str] {
        &[]
    }

    fn say(&mut self, _: &mut Lie<'_>, _: usize, message: &Message) -> Vec<Vec<u8>> {
        let bytes = message.encode();
        if self.0.len() < REMEMBERED {
            self.0.push(bytes.clone());
        }
        vec![bytes]
    }

    fn beside(&mut self, lie: &mut Lie<'_>) -> Vec<Vec<u8>> {
        let all = self.0.len() as u64;
        let any = |_| self.0[lie.random.below(all) as usize].clone();
        (0..all.min(10)).map(any).collect()
    }
}
