//! What an engine keeps is bounded by how far it is above its final block, whatever is said to it.

use markstein_consensus::Engine;

/// Views above the current one of which votes are kept, and a few.
const AHEAD: u64 = 64 + 4;
/// Bodies of one view, two of which its leader may propose, and what is said of a view without a body.
const BODIES: u64 = 3;
/// Wanted blocks, and a few.
const WANTED: u64 = 32;

/// Looks at one engine.
pub fn look(node: usize, engine: &Engine) {
    check(node, engine.view().0 - engine.last_final().view.0, engine.size());
}

fn check(node: usize, span: u64, (views, blocks): (usize, usize)) {
    assert!(views as u64 <= span + AHEAD, "node {node} keeps {views} views, {span} above its final block");
    let most = BODIES * (span + AHEAD) + WANTED;
    assert!(blocks as u64 <= most, "node {node} keeps {blocks} blocks, {span} views above its final block");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_engine_may_keep_is_no_violation() {
        check(0, 10, (78, 266));
    }

    #[test]
    #[should_panic(expected = "keeps 79 views")]
    fn too_many_views_are_seen() {
        check(0, 10, (79, 0));
    }

    #[test]
    #[should_panic(expected = "keeps 267 blocks")]
    fn too_many_blocks_are_seen() {
        check(0, 10, (10, 267));
    }
}
