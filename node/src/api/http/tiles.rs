//! `/checkpoint` and `/tile/…`: the log as C2SP tlog-tiles serves it, so that caches can carry the reading load.
//!
//! What a checkpoint covers never changes, so a full tile may be kept for ever. Nothing beyond the newest checkpoint is
//! served, and that it is not there is never to be remembered.

use axum::{
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};
use markstein_proto::log::tile::{EntryBundle, FULL_WIDTH, Tile};
use tonic::{Code, Status};

use super::{
    Shared,
    answer::{ASK_AGAIN, FOR_EVER, kept, refused},
};
use crate::{
    api::{Context, error, storage_status},
    ledger::{bundle_bytes, tile_bytes},
};

const NOTE: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";
/// Not wrong later either, but of no use once the tile has grown.
const FOR_A_DAY: &str = "public, max-age=86400";

/// What a path below `/tile/` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Hashes(Tile),
    Entries(EntryBundle),
}

impl Asked {
    fn parse(path: &str) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        let hashes = Tile::parse(path).map(Self::Hashes);
        hashes.or_else(|_| EntryBundle::parse(path).map(Self::Entries)).ok()
    }

    const fn is_full(self) -> bool {
        let (Self::Hashes(Tile { width, .. }) | Self::Entries(EntryBundle { width, .. })) = self;
        width == FULL_WIDTH
    }
}

/// The newest checkpoint that counts, with all lines this node knows.
pub(super) async fn checkpoint(State(services): State<Shared>, headers: HeaderMap) -> Response {
    match services.context.finality.checkpoint() {
        Some(checkpoint) => kept(&headers, NOTE, ASK_AGAIN, checkpoint.full.to_string().into_bytes()),
        None => refused(&error::no_checkpoint(
            "no checkpoint has a quorum of cosignatures yet: try again in a moment",
        )),
    }
}

/// A tile of hashes or a bundle of entries.
pub(super) async fn tile(State(services): State<Shared>, headers: HeaderMap, uri: Uri) -> Response {
    read(&services.context, &headers, uri.path()).await.unwrap_or_else(|status| refused(&status))
}

async fn read(context: &Context, headers: &HeaderMap, path: &str) -> Result<Response, Status> {
    let not_found = |message| error::status(Code::NotFound, "NOT_FOUND", message);
    let asked = Asked::parse(path).ok_or_else(|| not_found("this is not the path of a tile"))?;
    let large = match asked {
        Asked::Hashes(_) => None,
        Asked::Entries(_) => Some(context.bounds.large_answer()?),
    };
    let read = context.bounds.read(&context.finality, move |snapshot| {
        let Some(size) = snapshot.checkpoint.as_ref().map(|checkpoint| checkpoint.size) else {
            return Ok(None);
        };
        match asked {
            Asked::Hashes(tile) => tile_bytes(&snapshot.view, tile, size),
            Asked::Entries(bundle) => bundle_bytes(&snapshot.view, bundle, size),
        }
        .map_err(|e| storage_status(&e))
    });
    let beyond = || not_found("the newest checkpoint does not cover this tile yet");
    let bytes = read.await?.ok_or_else(beyond)?;
    let cache = if asked.is_full() { FOR_EVER } else { FOR_A_DAY };
    let mut response = kept(headers, BYTES, cache, bytes);
    if let Some(large) = large {
        response.extensions_mut().insert(large);
    }
    Ok(response)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_one_thing_in_one_spelling() {
        let tile = Asked::parse("/tile/0/x001/234.p/5").unwrap();
        assert_eq!(tile, Asked::Hashes(Tile { level: 0, index: 1234, width: 5 }));
        assert!(!tile.is_full());
        let bundle = Asked::parse("/tile/entries/000").unwrap();
        assert_eq!(bundle, Asked::Entries(EntryBundle { index: 0, width: 256 }));
        assert!(bundle.is_full());
        for path in [
            "",
            "/",
            "/tile/",
            "/tile/0",
            "/tile/0/",
            "/tile/0/0",
            "/tile/00/000",
            "/tile/+0/000",
            "/tile/64/000",
            "/tile/0/000.p/0",
            "/tile/0/000.p/256",
            "/tile/0/000.p/05",
            "/tile/0/x000/000",
            "/tile/0/001/234",
            "/tile/0/%30%30%30",
            "/tile/entries/000/",
            "/tile/entries/xx01/000",
            "//tile/0/000",
            "/tile/0/x999/x999/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert_eq!(Asked::parse(path), None, "{path}");
        }
    }
}
