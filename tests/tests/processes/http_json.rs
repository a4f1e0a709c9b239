//! JSON over HTTP: what gRPC says, for those whom it does not reach; and a description that every answer keeps to.

use std::collections::BTreeSet;

use markstein_client::{
    api::{BatchState, LookupResponse, StatusResponse, batch_state::State},
    time::now,
};
use markstein_proto::{
    Anchor, Commitment, Hash, LeafIndex, Reason, Record, Salt, StatusChange,
    cose::CoseReceipt,
    encoding::{base64_decode, base64_encode},
    log::{leaf_hash, root_of, verify_consistency},
    note::SignedCheckpoint,
    receipt::Receipt,
    status::Status,
};
use markstein_tests::{
    craft::{Paper, Submission},
    grpc::Api,
    http::{self, Answer},
    random::Random,
};
use prost::Message;
use serde_json::{Value, json};

use crate::{
    schema,
    support::{Ledger, runtime},
};

const KIND: (&str, &str) = ("Content-Type", "application/json");

/// A node, its description, and which answers of it were met.
struct Described {
    ledger: Ledger,
    description: Value,
    met: BTreeSet<(String, u16)>,
}

impl Described {
    fn start() -> Self {
        let ledger = Ledger::start();
        let description = http::get(ledger.devnet.url(), "/openapi.json").unwrap().json().unwrap();
        assert_eq!(description["openapi"], "3.1.0");
        Self { ledger, description, met: BTreeSet::new() }
    }

    /// Asks, and checks the answer against the description of `route`.
    fn ask(&mut self, method: &str, route: &str, path: &str, body: &[u8]) -> Answer {
        let headers: &[_] = if method == "POST" { &[KIND] } else { &[] };
        let answer = http::request(self.ledger.devnet.url(), method, path, headers, body).unwrap();
        self.check(method, route, &answer);
        answer
    }

    fn check(&mut self, method: &str, route: &str, answer: &Answer) {
        let operation = &self.description["paths"][route][method.to_lowercase()];
        let described = &operation["responses"][answer.code.to_string()]["content"];
        let (kind, content) = described
            .as_object()
            .and_then(|content| content.iter().next())
            .unwrap_or_else(|| panic!("{method} {route} answered {}, which is not described", answer.code));
        assert_eq!(answer.header("content-type"), kind, "{route}");
        if kind == "application/json" {
            let wrong = schema::check(&self.description, &content["schema"], &answer.json().unwrap());
            wrong.unwrap_or_else(|what| panic!("{route} {}: {what}", answer.code));
        }
        self.met.insert((route.to_owned(), answer.code));
    }

    fn get(&mut self, route: &str, values: &[(&str, &str)]) -> Answer {
        let path = values.iter().fold(route.to_owned(), |path, (name, value)| path.replace(name, value));
        self.ask("GET", route, &path, b"")
    }

    fn submit(&mut self, body: &[u8]) -> Answer {
        self.ask("POST", "/v1/batches", "/v1/batches", body)
    }
}

fn bytes(answer: &Value) -> Vec<u8> {
    base64_decode(answer["bytes"].as_str().unwrap(), 1 << 24).unwrap()
}

fn request(batch: &[u8]) -> Vec<u8> {
    json!({ "batch": base64_encode(batch) }).to_string().into_bytes()
}

#[test]
fn a_batch_goes_in_and_its_receipts_come_out_without_grpc() {
    let mut node = Described::start();
    let mut random = Random::new(7);
    let papers = (0..3).map(|_| Paper::random(&mut random)).collect();
    let submission = node.ledger.signer().submission(now(), papers).unwrap();
    let old = checkpoint(&mut node);

    let answer = node.submit(&request(&submission.bytes()));
    assert_eq!(answer.code, 200);
    assert_eq!(answer.header("access-control-allow-origin"), "", "pages of other origins do not submit");
    let id = submission.id().to_string();
    let head_index = loop {
        let answer = node.get("/v1/batches/{id}", &[("{id}", &id)]).json().unwrap();
        let state = BatchState::decode(bytes(&answer).as_slice()).unwrap();
        assert_eq!(
            (&state.batch_id[..], &answer["view"]["batch_id"]),
            (&submission.id().0.0[..], &json!(id))
        );
        match state.state.unwrap() {
            State::Final(it) => {
                assert_eq!(answer["view"]["state"], "final");
                assert_eq!(answer["view"]["head_index"], it.head_index);
                break it.head_index;
            }
            State::Accepted(_) => assert_eq!(answer["view"]["state"], "accepted"),
            other => panic!("{other:?}"),
        }
    };
    receipts(&mut node, &submission, head_index);
    cose_receipts(&mut node, head_index);

    let new = checkpoint(&mut node);
    let sizes = [old.checkpoint().size().0, new.checkpoint().size().0];
    let [from, to] = sizes.map(|size| size.to_string());
    let answer = node.get("/v1/consistency/{old}/{new}", &[("{old}", &from), ("{new}", &to)]).json().unwrap();
    let proof: Vec<Hash> = bytes(&answer).as_chunks().0.iter().map(|hash| Hash(*hash)).collect();
    let roots = [old.checkpoint().root(), new.checkpoint().root()];
    verify_consistency(sizes[0], &roots[0], sizes[1], &roots[1], &proof).unwrap();

    let answer = node.get("/v1/status", &[]).json().unwrap();
    let status = StatusResponse::decode(bytes(&answer).as_slice()).unwrap();
    assert_eq!((answer["view"]["log_size"].as_u64(), status.serving), (Some(status.log_size), true));
    overview(&mut node, submission.papers.len() as u64);
    let answer = node.get("/v1/genesis", &[]).json().unwrap();
    let genesis = markstein_client::trust::decode_genesis(&bytes(&answer)).unwrap();
    assert_eq!(answer["view"]["ledger_id"], genesis.ledger_id().to_string());
    look_ups(&mut node);
    node.get("/checkpoint", &[]);
    node.get("/tile/{level}/{index}", &[("{level}", "0"), ("{index}", "000.p/1")]);
    node.get("/tile/entries/{index}", &[("{index}", "000.p/1")]);
    node.get("/openapi.json", &[]);

    let routes = node.description["paths"].as_object().unwrap().keys();
    for route in routes {
        assert!(node.met.contains(&(route.clone(), 200)), "{route} was not tried");
    }
}

/// The overview tells what the status does, and counts what became final; peers are the operators' own.
fn overview(node: &mut Described, records: u64) {
    let overview = loop {
        let overview = node.get("/v1/network", &[]).json().unwrap();
        if overview["minutes"].as_array().unwrap().iter().any(|minute| minute["records"] == records) {
            break overview; // it may be a second old
        }
    };
    let only = &overview["authorities"][0];
    assert_eq!((&only["state"], &only["version"]), (&json!("voting"), &overview["version"]));
    assert_eq!((overview["conditions"].clone(), overview.get("peers")), (json!([]), None));
    assert_eq!(overview["records"], json!([]), "none of them is public");
    let heights: Vec<u64> =
        overview["blocks"].as_array().unwrap().iter().map(|it| it["height"].as_u64().unwrap()).collect();
    assert!(heights.is_sorted_by(|a, b| a > b) && heights[0] == overview["height"], "{overview}");
    let operator = &node.ledger.devnet.node().operator;
    let answer = http::get(operator, "/v1/network").unwrap();
    assert_eq!(answer.header("access-control-allow-origin"), "", "pages of other origins do not see peers");
    let mut overview = answer.json().unwrap();
    assert_eq!(overview["peers"].take(), json!([]));
    assert_eq!(http::get(operator, "/network").unwrap().code, 200);
    assert_eq!(http::get(operator, "/").unwrap().code, 404);
}

fn checkpoint(node: &mut Described) -> SignedCheckpoint {
    let answer = node.get("/v1/checkpoint", &[]).json().unwrap();
    let signed = SignedCheckpoint::parse(&bytes(&answer)).unwrap();
    assert_eq!(answer["view"]["size"], signed.checkpoint().size().0);
    signed
}

/// A public record, and where there is none.
fn look_ups(node: &mut Described) {
    let issuer = node.ledger.signer().issuer.to_string();
    let digest = markstein_proto::DocumentDigest(Hash::of(&[b"a public notice"]));
    let commitment = Commitment::of(&Salt::PUBLIC, &digest);
    let record = Record::Anchor(Anchor {
        commitment,
        public: true,
        document_type: 1,
        valid_until: None,
        supersedes: None,
    });
    let batch = node.ledger.signer().records(now(), &[record]).unwrap();
    let url = node.ledger.devnet.url().to_owned();
    let state = runtime()
        .block_on(async { Api::connect(&url).await.unwrap().submit_and_wait(batch.bytes()).await.unwrap() });
    let Some(State::Final(place)) = state.state else { panic!("{state:?}") };
    let index = place.head_index + 1;
    let (some, none) = (commitment.0.to_string(), "0".repeat(64));
    let records = json!([{ "index": index, "status": "valid", "since": index }]);
    let issuers = json!([{ "issuer": issuer, "records": records }]);
    let (all, empty) =
        (json!({ "issuers": issuers, "next_after": null }), json!({ "issuers": [], "next_after": null }));
    for (route, commitment, named, expected) in [
        ("/v1/lookup/{commitment}", &some, "", &all),
        ("/v1/lookup/{commitment}", &none, "", &empty),
        ("/v1/lookup/{commitment}/of/{issuer}", &some, &*issuer, &all),
        ("/v1/lookup/{commitment}/of/{issuer}", &some, "another.example", &empty),
        ("/v1/lookup/{commitment}/after/{issuer}", &some, "a", &all),
        ("/v1/lookup/{commitment}/after/{issuer}", &some, &*issuer, &empty),
    ] {
        let answer = node.get(route, &[("{commitment}", commitment), ("{issuer}", named)]).json().unwrap();
        assert_eq!(answer["view"], *expected, "{route} {named}");
        let message = LookupResponse::decode(bytes(&answer).as_slice()).unwrap();
        assert_eq!(message.issuers.len(), expected["issuers"].as_array().unwrap().len());
    }
    for (status, since, expected) in
        [("valid", u64::MAX, &records), ("valid", index, &json!([])), ("revoked", u64::MAX, &json!([]))]
    {
        let since = since.to_string();
        let values =
            [("{commitment}", &*some), ("{issuer}", &*issuer), ("{status}", status), ("{since}", &*since)];
        let list = "/v1/lookup/{commitment}/of/{issuer}/{status}";
        let answer = node.get(&format!("{list}/before/{{since}}"), &values).json().unwrap();
        assert_eq!(answer["view"], json!({ "records": expected, "next_before": null }), "{status} {since}");
        if since == u64::MAX.to_string() {
            assert_eq!(node.get(list, &values).json().unwrap()["view"], answer["view"]);
        }
    }
}

/// By place and by batch they are the same, and they verify.
fn receipts(node: &mut Described, submission: &Submission, head_index: u64) {
    let trust = node.ledger.devnet.trust().unwrap();
    let id = submission.id().to_string();
    for (position, paper) in submission.papers.iter().enumerate() {
        let index = (head_index + 1 + position as u64).to_string();
        let answers = [
            node.get("/v1/receipts/{index}", &[("{index}", &index)]),
            node.get(
                "/v1/batches/{id}/receipts/{position}",
                &[("{id}", &id), ("{position}", &position.to_string())],
            ),
        ];
        for answer in answers {
            let answer = answer.json().unwrap();
            let mut receipt = Receipt::from_json(&bytes(&answer)).unwrap();
            receipt.salt = Some(paper.salt);
            receipt.verify(&trust, &paper.digest).unwrap();
            assert_eq!(answer["view"], serde_json::from_slice::<Value>(&bytes(&answer)).unwrap());
        }
    }
}

/// The newest and the one of a certain size are signed with the authority's log key, and the latter may be kept.
fn cose_receipts(node: &mut Described, head_index: u64) {
    let trust = node.ledger.devnet.trust().unwrap();
    let key = trust.genesis().authorities.authorities()[0].log_key;
    let index = head_index + 1;
    let leaves = runtime().block_on(async {
        let api = Api::connect(node.ledger.devnet.url()).await.unwrap();
        api.leaves().await.unwrap()
    });
    let signed = checkpoint(node);
    let (size, root) = (signed.checkpoint().size(), signed.checkpoint().root());
    let (index, last) = (index.to_string(), size.to_string());
    let newest = node.get("/v1/receipts/{index}/cose", &[("{index}", &index)]);
    let of_size = node.get("/v1/receipts/{index}/cose/{size}", &[("{index}", &index), ("{size}", &last)]);
    assert_eq!(newest.body, of_size.body);
    assert_eq!(newest.header("cache-control"), "no-cache");
    assert_eq!(of_size.header("cache-control"), "public, max-age=31536000, immutable");
    let receipt = CoseReceipt::decode(&newest.body).unwrap();
    assert_eq!((receipt.size, receipt.index.to_string()), (size, index));
    let leaf = &leaves[receipt.index.0 as usize];
    assert_eq!(receipt.verify(leaf, &key), Ok(root));
    assert!(receipt.verify(&leaves[0], &key).is_err());

    // Under block 0, which no checkpoint of today ends with.
    let first = trust.genesis().header().index().0 + 1;
    let values = [("{index}", "0".to_owned()), ("{size}", first.to_string())];
    let values = values.each_ref().map(|(name, value)| (*name, value.as_str()));
    let receipt = CoseReceipt::decode(&node.get("/v1/receipts/{index}/cose/{size}", &values).body).unwrap();
    let hashes: Vec<Hash> = leaves[..first as usize].iter().map(|leaf| leaf_hash(leaf)).collect();
    assert_eq!(receipt.verify(&leaves[0], &key), Ok(root_of(&hashes)));
}

#[test]
fn errors_have_the_reasons_of_grpc_and_fitting_codes() {
    let mut node = Described::start();
    let mut random = Random::new(8);
    let signer = node.ledger.signer();
    let good = signer.submission(now(), vec![Paper::random(&mut random)]).unwrap().bytes();
    let mut forged = good.clone();
    let at = forged.len() - 1;
    forged[at] ^= 1;
    let grpc = runtime().block_on(async {
        let api = Api::connect(node.ledger.devnet.url()).await.unwrap();
        let refused = api.submit(forged.clone()).await.unwrap_err();
        markstein_tests::grpc::reason(&refused).to_owned()
    });

    let text = base64_encode(&good);
    let long = request(&vec![0; 3 << 20]);
    let cases: [(Vec<u8>, u16, &str); 9] = [
        (b"".to_vec(), 400, "MALFORMED"),
        (b"[]".to_vec(), 400, "MALFORMED"),
        (b"{\"batch\": 1}".to_vec(), 400, "MALFORMED"),
        (json!({ "batch": text, "more": 1 }).to_string().into(), 400, "MALFORMED"),
        (json!({ "batch": text.trim_end_matches('=') }).to_string().into(), 400, "MALFORMED"),
        (json!({ "batch": format!("{text}\n") }).to_string().into(), 400, "MALFORMED"),
        (request(b"no batch"), 400, "MALFORMED"),
        (request(&vec![0; (1 << 20) + 1]), 400, "MALFORMED"),
        (long, 413, "INVALID_REQUEST"),
    ];
    for (body, code, reason) in cases {
        let answer = node.submit(&body);
        let start = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        assert_eq!((answer.code, answer.json().unwrap()["reason"].as_str()), (code, Some(reason)), "{start}");
    }
    let change = StatusChange::new(LeafIndex(1 << 40), Status::Valid, Status::Revoked, Reason::CourtOrder);
    let change = Record::StatusChange(change.unwrap());
    let answer = node.submit(&request(&signer.records(now(), &[change]).unwrap().bytes()));
    assert_eq!((answer.code, answer.json().unwrap()["reason"].as_str()), (409, Some("NO_TARGET")));
    let answer = node.submit(&request(&forged));
    assert_eq!(answer.json().unwrap()["reason"], grpc.as_str());
    assert!(matches!(answer.code, 400 | 403), "{}", answer.code);
    let url = node.ledger.devnet.url().to_owned();
    for headers in [&[][..], &[("Content-Type", "text/plain")]] {
        let answer = http::request(&url, "POST", "/v1/batches", headers, &request(&good)).unwrap();
        assert_eq!(answer.code, 415);
        node.check("POST", "/v1/batches", &answer);
    }

    let zero = "0".repeat(64);
    let unknown = node.get("/v1/batches/{id}", &[("{id}", &zero)]).json().unwrap();
    assert_eq!(unknown["view"]["state"], "unknown");
    let cases = [
        ("/v1/batches/{id}", vec![("{id}", "00")], 400),
        ("/v1/batches/{id}/receipts/{position}", vec![("{id}", zero.as_str()), ("{position}", "0")], 404),
        ("/v1/batches/{id}/receipts/{position}", vec![("{id}", &zero), ("{position}", "4294967296")], 400),
        ("/v1/receipts/{index}", vec![("{index}", "18446744073709551615")], 404),
        ("/v1/receipts/{index}", vec![("{index}", "+1")], 400),
        ("/v1/receipts/{index}", vec![("{index}", "0")], 404),
        ("/v1/receipts/{index}/cose", vec![("{index}", "18446744073709551615")], 404),
        ("/v1/receipts/{index}/cose", vec![("{index}", "01")], 400),
        ("/v1/receipts/{index}/cose/{size}", vec![("{index}", "0"), ("{size}", "1")], 400),
        ("/v1/receipts/{index}/cose/{size}", vec![("{index}", "0"), ("{size}", "0")], 400),
        ("/v1/lookup/{commitment}", vec![("{commitment}", "%30")], 400),
        ("/v1/lookup/{commitment}/of/{issuer}", vec![("{commitment}", &zero), ("{issuer}", "A")], 400),
        ("/v1/lookup/{commitment}/after/{issuer}", vec![("{commitment}", &zero), ("{issuer}", "-")], 400),
        (
            "/v1/lookup/{commitment}/of/{issuer}/{status}",
            vec![("{commitment}", &zero), ("{issuer}", "a"), ("{status}", "expired")],
            400,
        ),
        ("/v1/consistency/{old}/{new}", vec![("{old}", "0"), ("{new}", "1")], 400),
        ("/v1/consistency/{old}/{new}", vec![("{old}", "1"), ("{new}", "18446744073709551615")], 400),
    ];
    for (route, values, code) in cases {
        let answer = node.get(route, &values);
        assert_eq!(answer.code, code, "{route} {values:?}");
        let reason = if code == 404 { "NOT_FOUND" } else { "INVALID_REQUEST" };
        assert_eq!(answer.json().unwrap()["reason"], reason, "{route} {values:?}");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
    }
    assert_eq!(http::request(&url, "GET", "/v1/batches", &[], b"").unwrap().code, 405);
}
