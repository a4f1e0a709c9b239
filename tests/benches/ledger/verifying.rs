//! The verdict on one receipt.

use std::{
    fs,
    hint::black_box,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use markstein_client::trust::decode_genesis;
use markstein_proto::{
    DocumentDigest, Hash,
    receipt::{Receipt, TrustRoot},
};
use markstein_tests::{binaries::workspace, files::receipt_of, random::Random};
use serde_json::Value;

use crate::{
    Bench, documents, say,
    stats::{Human, Times},
};

const TIME_MAX: Duration = Duration::from_millis(1);
/// The published receipt with the most signatures.
const AUTHORITIES: u64 = 4;

/// A receipt of this run, and a published one with more authorities.
pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    say("verifying receipts");
    let document = bench.folder("verifying")?.join("document");
    fs::write(&document, Random::new(4).bytes(20_000))?;
    documents::anchor(bench, &document)?;
    let digest = DocumentDigest(Hash::of(&[&fs::read(&document)?]));
    let json = fs::read(receipt_of(&document))?;
    judge(bench, "one authority", &bench.devnet.trust()?, &json, &digest)?;
    let vectors = workspace().join("proto/tests/vectors/markstein/receipts.json");
    let (trust, json, digest) = published(&vectors).context("the published receipts")?;
    judge(bench, "four authorities", &trust, &json, &digest)
}

fn judge(
    bench: &mut Bench,
    whose: &str,
    trust: &TrustRoot,
    json: &[u8],
    digest: &DocumentDigest,
) -> anyhow::Result<()> {
    let verify = || -> anyhow::Result<_> { Ok(Receipt::from_json(black_box(json))?.verify(trust, digest)?) };
    let mut signatures = 0;
    for _ in 0..100 {
        signatures = verify()?.vouchers.len() + 1; // and the issuer's
    }
    let mut times = Vec::new();
    for _ in 0..bench.scale.requests {
        let start = Instant::now();
        black_box(verify()?);
        times.push(start.elapsed());
    }
    let times = Times::of(times);
    bench.table.judged(
        format!("verifying a receipt, {whose}"),
        times.latency(),
        format!("{signatures} signatures {}", Human(bench.ceilings.of(0, signatures))),
        "below 1 ms",
        times.median() < TIME_MAX,
    );
    Ok(())
}

/// Trust root, receipt and document digest of a published case that verifies.
fn published(path: &Path) -> anyhow::Result<(TrustRoot, Vec<u8>, DocumentDigest)> {
    let vectors: Value = serde_json::from_slice(&fs::read(path)?)?;
    let cases = vectors["cases"].as_array().context("they have cases")?;
    let wanted = |case: &&Value| case["expected"] == "accept" && case["facts"]["authorities"] == AUTHORITIES;
    let case = cases.iter().find(wanted).context("one of them has four authorities")?;
    let text = |value: &Value| value.as_str().map(str::to_owned).context("a text is missing");
    let genesis = text(&vectors["geneses"][text(&case["genesis"])?])?;
    let digest = text(&case["document_digest"])?.parse::<HexDigest>()?;
    let trust = decode_genesis(&STANDARD.decode(genesis)?)?;
    Ok((trust, text(&case["receipt"])?.into_bytes(), digest.0))
}

/// A digest as 64 hexadecimal digits.
struct HexDigest(DocumentDigest);

impl std::str::FromStr for HexDigest {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let byte = |i: usize| text.get(2 * i..2 * i + 2).context("a digest has 64 digits");
        let bytes: anyhow::Result<Vec<u8>> = (0..32).map(|i| Ok(u8::from_str_radix(byte(i)?, 16)?)).collect();
        Ok(Self(DocumentDigest(Hash::try_from(bytes?.as_slice())?)))
    }
}
