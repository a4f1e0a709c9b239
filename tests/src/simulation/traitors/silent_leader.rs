//! Says nothing in a view that it leads, and is honest in all others.

use markstein_node::messages::Message;

use super::{Lie, Traitor};

pub struct SilentLeader;

impl Traitor for SilentLeader {
    fn name(&self) -> &'static str {
        "silent leader"
    }

    /// Silence may be the network's.
    fn kinds(&self) -> &'static [&'static str] {
        &[]
    }

    /// It may come to rest in a view that it leads, and asks for nothing then.
    fn follows(&self) -> bool {
        false
    }

    fn say(&mut self, lie: &mut Lie<'_>, _: usize, message: &Message) -> Vec<Vec<u8>> {
        let leader = lie.view.checked_sub(1).map(|turn| turn % lie.world.n as u64);
        if leader == Some(lie.me as u64) { Vec::new() } else { vec![message.encode()] }
    }
}
