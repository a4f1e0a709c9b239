//! Votes, certificates and proposals: read in one form only, and good for nothing but what they say.

use markstein_proto::{
    AuthoritySet, BatchId, DecodeError, EpochId, Hash, Header, Height, LeafIndex, LedgerId, LogSize,
    Signature, TimeMs, View,
    consensus::{
        Ballot, CERTIFICATE_MAX, Certificate, CheckedCertificate, Ed25519, PROPOSAL_NULLIFICATIONS_MAX,
        Proposal, Subject, Verifier, Vote, VoteError,
    },
    domain,
};

use crate::support::{authority_set, secret};

const LEDGER: LedgerId = LedgerId(Hash([1; 32]));
const OTHER_LEDGER: LedgerId = LedgerId(Hash([2; 32]));
const BLOCK: Hash = Hash([3; 32]);
const KINDS: [Ballot; 3] = [Ballot::Notarize(BLOCK), Ballot::Nullify, Ballot::Finalize(BLOCK)];

type Passes<'a> = &'a dyn Fn(&[u8]) -> bool;

fn set() -> AuthoritySet {
    authority_set(2, 0..4)
}

fn verifier() -> Verifier<Ed25519> {
    Verifier::of(LEDGER, &set())
}

fn subject(view: u64, ballot: Ballot) -> Subject {
    Subject { epoch: EpochId(2), view: View(view), ballot }
}

fn vote(signer: u32, subject: Subject) -> Vote {
    let owner = &set().authorities()[signer as usize].id.to_string();
    Vote::sign(&LEDGER, subject, signer, &secret(owner, "consensus"))
}

fn certificate(signers: &[u32], subject: Subject) -> Certificate {
    Certificate { subject, signatures: signers.iter().map(|s| (*s, vote(*s, subject).signature)).collect() }
}

fn header() -> Header {
    Header {
        epoch: EpochId(2),
        height: Height(7),
        view: View(5),
        parent: BLOCK,
        time: TimeMs(1_790_000_000_000),
        proposer: 1,
        first_index: LeafIndex(10),
        size_before: LogSize(12),
        root_before: Hash([4; 32]),
        status_root: Hash([5; 32]),
        authority_set: Hash([6; 32]),
    }
}

fn proposal() -> Proposal {
    let header = header();
    Proposal {
        vote: vote(1, subject(5, Ballot::Notarize(header.block_id()))),
        header,
        batches: vec![(BatchId(Hash([7; 32])), Hash([8; 32]))],
        parent: Some(certificate(&[0, 1, 3], subject(2, Ballot::Notarize(BLOCK)))),
        nullifications: [3, 4].map(|view| certificate(&[0, 1, 2], subject(view, Ballot::Nullify))).to_vec(),
    }
}

#[test]
fn what_is_written_is_read_again() {
    for ballot in KINDS {
        let vote = vote(3, subject(9, ballot));
        assert_eq!(Vote::decode(&vote.encode()).unwrap(), vote);
        assert_eq!(verifier().vote(vote.clone()).unwrap().get(), &vote);
        let certificate = certificate(&[0, 2, 3], subject(9, ballot));
        assert_eq!(Certificate::decode(&certificate.encode()).unwrap(), certificate);
        assert_eq!(verifier().certificate(certificate.clone()).unwrap().get(), &certificate);
    }
    let first = Proposal { parent: None, nullifications: vec![], batches: vec![], ..proposal() };
    for proposal in [proposal(), first] {
        assert_eq!(Proposal::decode(&proposal.encode()).unwrap(), proposal);
        assert_eq!(verifier().proposal(proposal.clone()).unwrap().get(), &proposal);
    }
}

#[test]
fn tags_of_votes_start_with_a_byte_that_no_text_holds() {
    for ballot in KINDS {
        let bytes = subject(1, ballot).signing_bytes(&LEDGER);
        assert_eq!(bytes[0], 0xFF);
        assert!(core::str::from_utf8(&bytes).is_err());
    }
    for tag in [domain::VOTE_NOTARIZE, domain::VOTE_NULLIFY, domain::VOTE_FINALIZE] {
        let prefixes = domain::ALL.iter().filter(|other| tag.starts_with(other) || other.starts_with(tag));
        assert_eq!(prefixes.count(), 1, "only itself");
    }
}

#[test]
fn a_vote_is_good_for_nothing_else() {
    let true_one = vote(1, subject(9, KINDS[0]));
    let with = |subject| Vote { subject, ..true_one.clone() };
    let forged = [
        with(subject(9, KINDS[1])),
        with(subject(9, KINDS[2])),
        with(subject(8, KINDS[0])),
        with(subject(9, Ballot::Notarize(Hash([9; 32])))),
        Vote { signer: 2, ..true_one.clone() },
        Vote { signature: Signature([0; 64]), ..true_one.clone() },
    ];
    for vote in forged {
        assert_eq!(verifier().vote(vote.clone()), Err(VoteError::Signature(vote.signer)));
    }
    let elsewhere = Verifier::of(OTHER_LEDGER, &set());
    assert_eq!(elsewhere.vote(true_one.clone()), Err(VoteError::Signature(1)));
    let later = Subject { epoch: EpochId(3), ..true_one.subject };
    assert_eq!(verifier().vote(with(later)), Err(VoteError::Epoch));
    assert_eq!(Verifier::of(LEDGER, &authority_set(3, 0..4)).vote(true_one.clone()), Err(VoteError::Epoch));
    assert_eq!(verifier().vote(vote(1, subject(0, Ballot::Nullify))), Err(VoteError::View));
    let stranger = Vote { signer: 4, ..true_one };
    assert_eq!(verifier().vote(stranger), Err(VoteError::Signer(4)));
}

#[test]
fn a_nullify_vote_names_no_block() {
    let zero = vote(1, subject(9, Ballot::Notarize(Hash::ZERO)));
    let null = Vote { subject: subject(9, Ballot::Nullify), ..zero };
    assert_eq!(verifier().vote(null), Err(VoteError::Signature(1)));
}

#[test]
fn a_certificate_needs_a_quorum_of_distinct_signers() {
    let subject = subject(9, KINDS[2]);
    let refused = |signers: &[u32]| verifier().certificate(certificate(signers, subject)).unwrap_err();
    let quorum = |have| VoteError::Quorum { have, need: 3 };
    assert_eq!(refused(&[0, 1]), quorum(2));
    assert_eq!(refused(&[]), quorum(0));
    assert_eq!(refused(&[0, 1, 1]), quorum(0), "one signer twice");
    assert_eq!(refused(&[2, 1, 0]), quorum(0), "in another order");
    for signers in [&[0, 1, 1][..], &[2, 1, 0]] {
        let bytes = certificate(signers, subject).encode();
        assert!(Certificate::decode(&bytes).is_err(), "{signers:?}");
    }
    let checked = |signer| verifier().vote(vote(signer, subject)).unwrap();
    let twice = [checked(0), checked(1), checked(1)];
    assert_eq!(CheckedCertificate::from_votes(&twice, 3), None);
    let other = verifier().vote(vote(2, self::subject(9, Ballot::Nullify))).unwrap();
    assert_eq!(CheckedCertificate::from_votes(&[checked(0), checked(1), other], 3), None);
    let formed = CheckedCertificate::from_votes(&[checked(3), checked(0), checked(2)], 3).unwrap();
    assert_eq!(formed.get(), &certificate(&[0, 2, 3], subject));
    assert_eq!(formed.vote_of(2), Some(checked(2)));
    assert_eq!(formed.vote_of(1), None);
}

#[test]
fn a_certificate_is_good_for_nothing_else() {
    let true_one = certificate(&[0, 1, 2], subject(9, KINDS[0]));
    let others = [subject(9, KINDS[1]), subject(9, KINDS[2]), subject(8, KINDS[0])];
    for subject in others.into_iter().chain([subject(9, Ballot::Notarize(Hash([9; 32])))]) {
        let forged = Certificate { subject, ..true_one.clone() };
        assert_eq!(verifier().certificate(forged), Err(VoteError::Signature(0)));
    }
    let later = Subject { epoch: EpochId(3), ..true_one.subject };
    assert_eq!(
        verifier().certificate(Certificate { subject: later, ..true_one.clone() }),
        Err(VoteError::Epoch)
    );
    assert_eq!(
        Verifier::of(OTHER_LEDGER, &set()).certificate(true_one.clone()),
        Err(VoteError::Signature(0))
    );
    let mut one_bad = true_one.clone();
    one_bad.signatures.push((3, Signature([0; 64])));
    assert_eq!(verifier().certificate(one_bad), Err(VoteError::Signature(3)), "also beside a quorum");
    let mut stranger = true_one;
    stranger.signatures[2].0 = 9;
    assert_eq!(verifier().certificate(stranger), Err(VoteError::Signer(9)));
}

#[test]
fn a_proposal_carries_its_leaders_vote_on_its_own_block() {
    let refused = |change: fn(&mut Proposal)| {
        let mut forged = proposal();
        change(&mut forged);
        verifier().proposal(forged).unwrap_err()
    };
    assert_eq!(refused(|p| p.header.view = View(6)), VoteError::Leader);
    assert_eq!(refused(|p| p.header.proposer = 2), VoteError::Leader);
    assert_eq!(refused(|p| p.header.epoch = EpochId(3)), VoteError::Leader);
    assert_eq!(refused(|p| p.vote = vote(2, p.vote.subject)), VoteError::Leader);
    assert_eq!(refused(|p| p.vote.subject.ballot = Ballot::Finalize(p.header.block_id())), VoteError::Leader);
    assert_eq!(refused(|p| p.vote.signature = Signature([0; 64])), VoteError::Signature(1));
    let few = |p: &mut Proposal| p.nullifications[1].signatures.truncate(2);
    assert_eq!(refused(few), VoteError::Quorum { have: 2, need: 3 });
    let other = |p: &mut Proposal| p.parent.as_mut().unwrap().subject.ballot = Ballot::Finalize(BLOCK);
    assert_eq!(refused(other), VoteError::Signature(0));
}

#[test]
fn no_changed_bit_and_no_part_verifies() {
    let vote = vote(1, subject(300, KINDS[0])).encode();
    let certificate = certificate(&[0, 1, 2], subject(300, KINDS[2])).encode();
    let vote_passes = |bytes: &[u8]| Vote::decode(bytes).is_ok_and(|vote| verifier().vote(vote).is_ok());
    let passes = |bytes: &[u8]| {
        Certificate::decode(bytes).is_ok_and(|certificate| verifier().certificate(certificate).is_ok())
    };
    let checks: [(&[u8], Passes); 2] = [(&vote, &vote_passes), (&certificate, &passes)];
    for (bytes, passes) in checks {
        assert!(passes(bytes));
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!passes(&changed), "bit {bit}");
        }
        assert!((0..bytes.len()).all(|end| !passes(&bytes[..end])));
        assert!(!passes(&[bytes, &[0]].concat()), "a byte too many");
        assert!(!passes(&[bytes, &bytes[..2]].concat()), "a field twice");
        assert!(!passes(&[bytes, &[0x78, 1]].concat()), "an unknown field");
    }
}

#[test]
fn proposals_are_read_in_one_form_only() {
    let bytes = proposal().encode();
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        if let Ok(read) = Proposal::decode(&changed) {
            assert_eq!(read.encode(), changed, "bit {bit}");
        }
    }
    let cut = |end: &usize| Proposal::decode(&bytes[..*end]).is_ok();
    assert_eq!((0..bytes.len()).filter(cut).count(), 3, "without parent, or with fewer nullifications, only");
    assert!(Proposal::decode(&[&bytes[..], &[0x78, 1]].concat()).is_err());
    let mut unsorted = proposal();
    unsorted.nullifications.reverse();
    assert!(Proposal::decode(&unsorted.encode()).is_err());
}

#[test]
fn sizes_are_bounded() {
    let long = vec![0; CERTIFICATE_MAX + 1];
    assert!(matches!(Certificate::decode(&long), Err(DecodeError::TooLong { .. })));
    assert!(matches!(Vote::decode(&[0; 257]), Err(DecodeError::TooLong { .. })));
    let mut many = proposal();
    let null = |view| certificate(&[0], subject(view, Ballot::Nullify));
    many.nullifications = (0..=PROPOSAL_NULLIFICATIONS_MAX as u64).map(|view| null(10 + view)).collect();
    assert!(Proposal::decode(&many.encode()).is_err());
    many.nullifications.pop();
    assert!(Proposal::decode(&many.encode()).is_ok());
    let signatures = (0..65).map(|signer| (signer, Signature([1; 64]))).collect();
    let crowd = Certificate { subject: subject(1, Ballot::Nullify), signatures };
    assert!(Certificate::decode(&crowd.encode()).is_err());
    let mut crowded = proposal();
    crowded.nullifications = vec![crowd.clone()];
    assert!(
        Proposal::decode(&crowded.encode()).is_err(),
        "each certificate is bounded, not only all of them"
    );
    let all = Certificate { signatures: crowd.signatures[..64].to_vec(), ..crowd };
    assert!(Certificate::decode(&all.encode()).is_ok(), "64 authorities fit");
}
