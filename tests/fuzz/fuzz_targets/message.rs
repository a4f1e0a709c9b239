//! What a peer sends: a message that is accepted reads back as itself, is not longer, and is bounded in its work.
#![no_main]

use libfuzzer_sys::fuzz_target;
use markstein_fuzz::messages::{ASKED_BATCHES_MAX, MEMORY_VOTES_MAX, Message};

fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = Message::decode(bytes) else { return };
    let again = message.encode();
    assert!(again.len() <= bytes.len(), "the canonical form is the shortest one");
    assert_eq!(Message::decode(&again).as_ref(), Ok(&message));
    let _ = (message.class(), message.kind());
    assert!(message.work() <= MEMORY_VOTES_MAX.max(ASKED_BATCHES_MAX) + 1);
});
