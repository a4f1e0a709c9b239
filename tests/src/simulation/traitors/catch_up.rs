//! Lies to those who catch up: ranges that lead nowhere, bodies of other blocks, blocks and batches that are none.

use markstein_node::messages::{Message, Range};
use markstein_proto::Hash;

use super::{Lie, Traitor};

pub struct Misleader;

impl Traitor for Misleader {
    fn name(&self) -> &'static str {
        "misleader"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["bad_range", "bad_batches"]
    }

    fn say(&mut self, lie: &mut Lie<'_>, _: usize, message: &Message) -> Vec<Vec<u8>> {
        let lied = match message {
            Message::Range(range) => Message::Range(Box::new(mislead(lie, range))),
            Message::BlockBatches { height, batches } => {
                let mut batches = batches.clone();
                match lie.random.below(4) {
                    0 => batches.clear(),
                    1 => batches.reverse(),
                    2 => batches.extend(batches.clone()),
                    _ => {}
                }
                Message::BlockBatches { height: *height, batches }
            }
            Message::Block(body) if lie.chance(50) => {
                let mut body = body.clone();
                body.batches.pop();
                Message::Block(body)
            }
            // It has everything, it says, so that it is asked.
            Message::Heartbeat(beat) => {
                let mut beat = *beat;
                beat.height.0 += 10;
                Message::Heartbeat(beat)
            }
            _ => message.clone(),
        };
        vec![lied.encode()]
    }
}

fn mislead(lie: &mut Lie<'_>, range: &Range) -> Range {
    let mut range = range.clone();
    match lie.random.below(5) {
        0 => drop(range.headers.pop().filter(|_| range.headers.len() > 1)),
        1 => range.headers[0].parent = Hash([5; 32]),
        2 => {
            let last = range.headers.len() - 1;
            range.headers[last].time.0 += 1;
        }
        3 => {
            let all = range.headers.len() as u64;
            let one = range.headers[lie.random.below(all) as usize].clone();
            range.headers.push(one);
        }
        _ => {}
    }
    range
}
