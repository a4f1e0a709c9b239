//! Hears everything and says nothing, ever.

use markstein_node::messages::Message;

use super::{Lie, Traitor};

pub struct Mute;

impl Traitor for Mute {
    fn name(&self) -> &'static str {
        "mute"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &[]
    }

    fn follows(&self) -> bool {
        false
    }

    fn say(&mut self, _: &mut Lie<'_>, _: usize, _: &Message) -> Vec<Vec<u8>> {
        Vec::new()
    }

    fn floods(&self, _: usize) -> bool {
        false
    }
}
