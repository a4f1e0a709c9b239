//! The log over plain HTTP, as C2SP tlog-tiles: checkpoint, tiles and entry bundles say the same, down to the last leaf.

use markstein_client::time::now;
use markstein_proto::{
    Hash, Leaf,
    log::{
        self,
        tile::{EntryBundle, Tile},
    },
    note::SignedCheckpoint,
};
use markstein_tests::{
    craft::Paper,
    grpc::Api,
    http::{self, Answer},
    random::Random,
};

use crate::support::{Ledger, runtime};

/// The leaves of an entry bundle, each after its length.
fn leaves(mut bundle: &[u8]) -> Vec<Vec<u8>> {
    let mut leaves = Vec::new();
    while let Some((length, rest)) = bundle.split_first_chunk() {
        let (leaf, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)));
        leaves.push(leaf.to_vec());
        bundle = rest;
    }
    assert!(bundle.is_empty(), "a bundle ends with a whole leaf");
    leaves
}

fn hashes(tile: &[u8]) -> Vec<Hash> {
    let (hashes, rest) = tile.as_chunks();
    assert!(rest.is_empty());
    hashes.iter().map(|hash| Hash(*hash)).collect()
}

/// A ledger with 700 records, so that there are two full tiles and a third that is not.
fn filled() -> Ledger {
    let ledger = Ledger::start();
    let mut random = Random::new(5);
    let papers = (0..700).map(|_| Paper::random(&mut random)).collect();
    let submission = ledger.signer().submission(now(), papers).unwrap();
    runtime().block_on(async {
        let api = Api::connect(ledger.devnet.url()).await.unwrap();
        api.submit_and_wait(submission.bytes()).await.unwrap();
    });
    ledger
}

#[test]
fn anybody_can_read_the_whole_log_from_tiles() {
    let ledger = filled();
    let get = |path: &str| http::get(ledger.devnet.url(), &format!("/{path}")).unwrap();
    let answer = get("checkpoint");
    assert_eq!((answer.code, answer.header("content-type")), (200, "text/plain; charset=utf-8"));
    assert_eq!(answer.header("cache-control"), "no-cache");
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    let signed = SignedCheckpoint::parse(&answer.body).unwrap();
    let trust = ledger.devnet.trust().unwrap();
    let genesis = trust.genesis();
    let set = &genesis.authorities;
    signed.count(&set.cosigners(&genesis.origin), set.quorum()).unwrap();
    signed.note().verify_ed25519(&set.authorities()[0].log_vkey(&genesis.origin)).unwrap();

    let size = signed.checkpoint().size().0;
    assert!((700..768).contains(&size), "{size}");
    let mut all = Vec::new();
    for index in 0..3 {
        let tile = get(&Tile::in_log(0, index, size).unwrap().path());
        let bundle = get(&EntryBundle::in_log(index, size).unwrap().path());
        for answer in [&tile, &bundle] {
            assert_eq!((answer.code, answer.header("content-type")), (200, "application/octet-stream"));
            assert_eq!(answer.header("access-control-allow-origin"), "*");
            let is_immutable = answer.header("cache-control") == "public, max-age=31536000, immutable";
            assert_eq!(is_immutable, index < 2, "{}", answer.header("cache-control"));
        }
        let leaves = leaves(&bundle.body);
        assert!(leaves.iter().all(|leaf| Leaf::decode(leaf).is_ok()));
        let hashed: Vec<Hash> = leaves.iter().map(|leaf| log::leaf_hash(leaf)).collect();
        assert_eq!(hashed, hashes(&tile.body), "tile {index} has the hashes of its leaves");
        all.extend(hashed);
    }
    assert_eq!(all.len() as u64, size);
    assert_eq!(log::root_of(&all), signed.checkpoint().root());
    let above = get(&Tile::in_log(1, 0, size).unwrap().path());
    let subtrees: Vec<Hash> = all.as_chunks::<256>().0.iter().map(log::root_of).collect();
    assert_eq!(hashes(&above.body), subtrees);
}

#[test]
fn nothing_beyond_the_checkpoint_is_served_and_what_is_there_does_not_change() {
    let ledger = filled();
    let get = |path: &str| http::get(ledger.devnet.url(), path).unwrap();
    let signed = SignedCheckpoint::parse(&get("/checkpoint").body).unwrap();
    let last = signed.checkpoint().size().0 - 512;

    let full = get("/tile/0/000").body;
    let bundle = get("/tile/entries/000").body;
    for width in [1, 2, 128, 255] {
        assert_eq!(get(&format!("/tile/0/000.p/{width}")).body, full[..width * 32]);
        let part = get(&format!("/tile/entries/000.p/{width}")).body;
        assert_eq!(leaves(&part).len(), width);
        assert!(bundle.starts_with(&part));
    }
    assert_eq!(get(&format!("/tile/0/002.p/{last}")).code, 200);
    let gone = [
        format!("/tile/0/002.p/{}", last + 1),
        format!("/tile/entries/002.p/{}", last + 1),
        "/tile/0/002".into(),
        "/tile/0/003.p/1".into(),
        "/tile/entries/002".into(),
        "/tile/1/000".into(),
        "/tile/1/000.p/3".into(),
        "/tile/2/000.p/1".into(),
        "/tile/63/000.p/1".into(),
        "/tile/64/000.p/1".into(),
        "/tile/0/0".into(),
        "/tile/0/000.p/0".into(),
        "/tile/0/000.p/256".into(),
        "/tile/0/x000/000".into(),
        "/tile/0/%3000".into(),
        "/tile/entries/x018/x446/x744/x073/x709/x551/615".into(),
        "/tile/x/000".into(),
    ];
    for path in gone {
        let Answer { code, .. } = get(&path);
        assert_eq!(code, 404, "{path}");
        let answer = get(&path);
        assert_eq!(answer.json().unwrap()["reason"], "NOT_FOUND", "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
    }
    assert_eq!(get("/tile/1/000.p/2").code, 200);
}

#[test]
fn a_cache_asks_with_its_tag_and_gets_only_what_is_new() {
    let ledger = filled();
    let url = ledger.devnet.url();
    let ask = |method: &str, path: &str, tag: &str| {
        let headers = [("If-None-Match", tag)];
        http::request(url, method, path, if tag.is_empty() { &[] } else { &headers }, b"").unwrap()
    };
    for path in [
        "/checkpoint",
        "/tile/0/000",
        "/tile/0/002.p/1",
        "/tile/entries/001",
        "/tile/entries/002.p/3",
        "/openapi.json",
    ] {
        let whole = ask("GET", path, "");
        let tag = whole.header("etag");
        assert!(tag.len() > 16 && tag.starts_with('"') && tag.ends_with('"'), "{path}: {tag}");
        assert_eq!(ask("GET", path, "").header("etag"), tag, "{path}");
        for method in ["GET", "HEAD"] {
            for has in [tag.to_owned(), format!("\"other\", W/{tag}"), "*".into()] {
                let same = ask(method, path, &has);
                assert_eq!((same.code, same.header("etag"), same.body.len()), (304, tag, 0), "{path} {has}");
                assert_eq!(same.header("cache-control"), whole.header("cache-control"), "{path}");
                assert_eq!(same.header("access-control-allow-origin"), "*", "{path}");
            }
            let other = ask(method, path, "\"other\"");
            assert_eq!((other.code, other.header("etag")), (200, tag), "{path}");
            assert_eq!(other.header("content-length"), whole.body.len().to_string(), "{path}");
        }
    }
    // Of two paths of one tile each has its own tag; what is not there has none, whatever is asked.
    assert_ne!(
        ask("GET", "/tile/0/000", "").header("etag"),
        ask("GET", "/tile/0/000.p/9", "").header("etag")
    );
    let gone = ask("GET", "/tile/0/003.p/1", "*");
    assert_eq!((gone.code, gone.header("etag"), gone.header("cache-control")), (404, "", "no-store"));

    // The checkpoint's tag is no longer good once the log has grown.
    let old = ask("GET", "/checkpoint", "");
    let submission = ledger.signer().submission(now(), vec![Paper::random(&mut Random::new(6))]).unwrap();
    runtime().block_on(async {
        let api = Api::connect(url).await.unwrap();
        api.submit_and_wait(submission.bytes()).await.unwrap();
    });
    let new = ask("GET", "/checkpoint", old.header("etag"));
    assert_eq!((new.code, new.body == old.body), (200, false));
}

#[test]
fn heads_are_answered_and_other_methods_are_not() {
    let ledger = Ledger::start();
    for path in ["/checkpoint", "/tile/0/000.p/1", "/tile/entries/000.p/1"] {
        let ask = |method| http::request(ledger.devnet.url(), method, path, &[], b"").unwrap();
        let (head, whole) = (ask("HEAD"), ask("GET"));
        assert_eq!((head.code, whole.code), (200, 200), "{path}");
        for name in ["content-type", "cache-control", "access-control-allow-origin"] {
            assert_eq!(head.header(name), whole.header(name), "{path}: {name}");
        }
        assert_eq!(head.header("content-length"), whole.body.len().to_string(), "{path}");
        let refused = ask("POST");
        assert_eq!((refused.code, refused.header("access-control-allow-origin")), (405, ""), "{path}");
    }
}
