//! The crates `signed_note` and `tlog_tiles`: notes, checkpoints, tiles and paths, as others wrote them in Rust.

use std::collections::BTreeSet;

use markstein_proto::encoding::{base64_decode, base64_encode};
use signed_note::{Note, StandardVerifier, Verifier, VerifierList};
use tlog_tiles::{
    Checkpoint, Hash, HashReader, Tile, TileHashReader, TileReader, check_record, prove_record, record_hash,
    stored_hash_index,
};

use crate::{exports::Exports, judge, tampered};

#[test]
fn signed_note_and_tlog_tiles_accept_what_we_export_and_refuse_what_was_changed() {
    judge("signed_note and tlog_tiles", &tampered::of_the_log(Exports::made()), accepts);
}

/// What a policy says: the log's keys, the witnesses' keys and how many of those are needed.
struct Policy {
    logs: Vec<String>,
    witnesses: Vec<String>,
    quorum: usize,
}

impl Policy {
    fn read(text: &str) -> Self {
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
        let of = |kind: &str, at: usize| -> Vec<String> {
            lines.iter().filter(|line| line[0] == kind).map(|line| line[at].to_owned()).collect()
        };
        Self { logs: of("log", 1), witnesses: of("witness", 2), quorum: of("group", 2)[0].parse().unwrap() }
    }

    fn verifiers(&self) -> VerifierList {
        let logs = self.logs.iter().map(|vkey| {
            let verifier: Box<dyn Verifier> = Box::new(StandardVerifier::new(vkey).unwrap());
            verifier
        });
        let witnesses = self.witnesses.iter().map(|vkey| {
            let verifier: Box<dyn Verifier> = Box::new(Cosigner::new(vkey));
            verifier
        });
        VerifierList::new(logs.chain(witnesses).collect())
    }
}

/// `signed_note` leaves `cosignature/v1` to its callers: the message is ours to make, the Ed25519 is theirs.
struct Cosigner {
    id: u32,
    ed25519: StandardVerifier,
}

impl Cosigner {
    fn new(vkey: &str) -> Self {
        let mut parts = vkey.splitn(3, '+');
        let (name, id, key) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        let mut key = base64_decode(key, 33).unwrap();
        assert_eq!(signed_note::key_id(name, &key), u32::from_str_radix(id, 16).unwrap());
        assert_eq!(key[0], 4, "the type of a cosignature");
        key[0] = 1; // that of a plain signature
        let plain = format!("{name}+{:08x}+{}", signed_note::key_id(name, &key), base64_encode(&key));
        Self { id: u32::from_str_radix(id, 16).unwrap(), ed25519: StandardVerifier::new(&plain).unwrap() }
    }
}

impl Verifier for Cosigner {
    fn name(&self) -> &str {
        self.ed25519.name()
    }

    fn key_id(&self) -> u32 {
        self.id
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let Some((time, signature)) = signature.split_first_chunk() else { return false };
        let head = format!("cosignature/v1\ntime {}\n", u64::from_be_bytes(*time));
        self.ed25519.verify(&[head.as_bytes(), message].concat(), signature)
    }
}

/// The checkpoint of a note that the policy accepts.
fn checked(note: &str, policy: &Policy) -> Result<Checkpoint, String> {
    let note = Note::from_bytes(note.as_bytes()).map_err(|e| e.to_string())?;
    let (verified, _) = note.verify(&policy.verifiers()).map_err(|e| e.to_string())?;
    let checkpoint = Checkpoint::from_bytes(note.text()).map_err(|e| e.to_string())?;
    let names: BTreeSet<&str> = verified.iter().map(signed_note::Signature::name).collect();
    let log = policy.logs[0].split('+').next().unwrap();
    if checkpoint.origin() != log || !names.contains(log) {
        return Err("no line of the log".into());
    }
    if names.len() - 1 < policy.quorum {
        return Err("too few cosignatures".into());
    }
    Ok(checkpoint)
}

/// Served tiles.
struct Tiles<'a>(&'a Exports);

/// The path under which C2SP serves a tile: Go's has the height in it.
fn path(tile: &Tile) -> String {
    let path = tile.path();
    path.replacen("tile/8/data/", "tile/entries/", 1).replacen("tile/8/", "tile/", 1)
}

impl TileReader for Tiles<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let read = |tile| self.0.bytes(&path(tile)).map(<[u8]>::to_vec);
        tiles.iter().map(read).collect::<Result<_, _>>().map_err(|_| tlog_tiles::Error::InvalidTile)
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

fn accepts(exports: &Exports) -> Result<(), String> {
    let policy = Policy::read(exports.text("policy")?);
    let checkpoint = checked(exports.text("checkpoint")?, &policy)?;
    let (size, root) = (checkpoint.size(), *checkpoint.hash());
    let tiles = Tiles(exports);
    let reader = TileHashReader::new(size, root, &tiles);

    let places: Vec<u64> = (0..size).map(|index| stored_hash_index(0, index)).collect();
    let hashes = reader.read_hashes(&places).map_err(|e| e.to_string())?;
    if leaves(exports, size)? != hashes {
        return Err("the entries are not those of the tiles".into());
    }

    let (head, note) = exports.text("proof")?.split_once("\n\n").ok_or("the proof has no checkpoint")?;
    let checkpoint = checked(note, &policy)?;
    let mut lines = head.lines().skip(1);
    let field = |line: Option<&str>, name: &str| {
        let value = line.and_then(|line| line.strip_prefix(name));
        value.map(str::to_owned).ok_or_else(|| format!("no {name}"))
    };
    let leaf = base64_decode(&field(lines.next(), "extra ")?, 1 << 14).map_err(|e| e.to_string())?;
    let index = field(lines.next(), "index ")?.parse().map_err(|_| "no index")?;
    let hash = |line| Hash::parse_hash(line).map_err(|e| e.to_string());
    let path = lines.map(hash).collect::<Result<Vec<Hash>, String>>()?;
    check_record(&path, checkpoint.size(), *checkpoint.hash(), index, record_hash(&leaf))
        .map_err(|e| e.to_string())?;
    if checkpoint.size() == size && prove_record(size, index, &reader).map_err(|e| e.to_string())? != path {
        return Err("the tiles give another path".into());
    }
    Ok(())
}

/// Hashes of the leaves in the entry bundles.
fn leaves(exports: &Exports, size: u64) -> Result<Vec<Hash>, String> {
    let mut hashes = Vec::new();
    for first in (0..size).step_by(256) {
        let width = (size - first).min(256) as u32;
        let mut bundle = exports.bytes(&path(&Tile::new(8, 0, first / 256, width, true)))?;
        while let Some((length, rest)) = bundle.split_first_chunk() {
            let length = usize::from(u16::from_be_bytes(*length));
            let (leaf, rest) = rest.split_at_checked(length).ok_or("an entry has no end")?;
            hashes.push(record_hash(leaf));
            bundle = rest;
        }
        if !bundle.is_empty() {
            return Err("a bundle has a loose end".into());
        }
    }
    Ok(hashes)
}
