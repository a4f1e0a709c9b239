//! Lines on checkpoints that are none: on another root, signed by another, in another's name, on sizes to come.

use markstein_node::{
    ledger::TreeHead,
    messages::{CosignatureLines, Message},
};
use markstein_proto::{
    Hash, LogSize,
    note::{KeyName, sign_cosignature, sign_ed25519},
};

use super::{Lie, Traitor};

pub struct Miscosigner;

impl Traitor for Miscosigner {
    fn name(&self) -> &'static str {
        "miscosigner"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["bad_cosignature"]
    }

    fn say(&mut self, lie: &mut Lie<'_>, _: usize, message: &Message) -> Vec<Vec<u8>> {
        let Message::Cosignature(good) = message else { return vec![message.encode()] };
        let size = good.size;
        let others = (good.authority + 1) % lie.world.n as u32;
        let lines = match lie.random.below(6) {
            0 => CosignatureLines { lines: "neither this\nnor that\n".into(), ..good.clone() },
            1 => CosignatureLines { lines: lines_on(lie, size, Hash([6; 32])), ..good.clone() },
            2 => CosignatureLines { authority: others, ..good.clone() },
            // On what is not there yet, in its own name and in another's.
            3 => CosignatureLines {
                size: LogSize(size.0 + 3),
                authority: if lie.chance(50) { others } else { good.authority },
                lines: good.lines.clone(),
            },
            4 => CosignatureLines { authority: 63, ..good.clone() },
            _ => good.clone(),
        };
        vec![Message::Cosignature(lines).encode()]
    }
}

/// Lines of its own, rightly signed, on a log that is not this one.
fn lines_on(lie: &Lie<'_>, size: LogSize, root: Hash) -> String {
    let (origin, set) = (&lie.world.genesis.origin, &lie.world.genesis.authorities);
    let text = TreeHead { size, root }.checkpoint(origin).unwrap().to_text();
    let vkey = set.authorities()[lie.me].cosigner(origin);
    let time_s = (crate::simulation::support::START + lie.now) / 1000;
    let cosignature = sign_cosignature(&*lie.world.key(lie.me, 2), vkey.name(), &text, time_s).unwrap();
    let name = KeyName::new(origin).unwrap();
    let log_line = sign_ed25519(&name, &*lie.world.key(lie.me, 3), &text).unwrap();
    format!("{cosignature}\n{log_line}\n")
}
