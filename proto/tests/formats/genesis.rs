//! The genesis and its file, key files, keys and names.

use markstein_proto::{
    AuthorityEntry, AuthorityId, DecodeError, DocumentTypeName, GENESIS_FILE_MAX, Genesis, GenesisFileError,
    IssuerEntry, IssuerGrant, IssuerId, IssuerKey, KEY_FILE_MAX, KeyError, KeyFile, KeyFileError, KeyPurpose,
    Leaf, LogSize, PublicKey, Record, SLUG_MAX, SecretKey, TimeMs, status,
};

use crate::support::{PERMITS, genesis, grant, issuer_id, secret, seed};

fn refused(text: &str) -> GenesisFileError {
    Genesis::from_toml(text).unwrap_err()
}

#[test]
fn a_genesis_goes_through_its_file() {
    for authorities in [1, 4, 7, 64] {
        let made = genesis(authorities);
        let text = made.to_toml();
        assert!(text.contains(&made.ledger_id().to_string()));
        assert_eq!(Genesis::from_toml(&text), Ok(made));
    }
}

/// Many grants with many keys: the text is much longer than the bytes, and is read all the same.
#[test]
fn the_largest_genesis_goes_through_its_file() {
    let mut large = genesis(64);
    let key = |office: usize, n: usize| IssuerKey {
        key: secret(&format!("{office}/{n}"), "issuer").public(),
        not_before: TimeMs(u64::MAX - 1),
        not_after: Some(TimeMs(u64::MAX)),
    };
    let office = |i: usize| {
        let mut keys: Vec<IssuerKey> = (0..8).map(|n| key(i, n)).collect();
        keys.sort_by_key(|key| key.key.to_bytes());
        IssuerGrant { issuer: issuer_id(&format!("office-{i}.example")), keys, ..grant(PERMITS, &[1, 2]) }
    };
    large.grants = (0..800).map(office).collect();
    let large = large.check().unwrap();
    assert!(large.to_toml().len() < GENESIS_FILE_MAX);
    assert_eq!(Genesis::from_toml(&large.to_toml()), Ok(large));
    assert!(matches!(refused(&"#".repeat(GENESIS_FILE_MAX + 1)), GenesisFileError::TooLong(_)));
}

/// Counted before anything is looked up: a list of 100,000 names in one of 100,000 types would take for ever.
#[test]
fn lists_are_bounded_before_their_elements_are_looked_at() {
    let text = genesis(1).to_toml();
    let count = |what| GenesisFileError::Invalid(DecodeError::Count { what, min: 0, max: 256, got: 257 });
    let names = |list: &str| format!("document_types = [{}]", list.repeat(257));
    let (head, issuers) = text.split_once("[[issuers]]").unwrap();
    let (id, rest) = issuers.split_once("document_types").unwrap();
    let (_, keys) = rest.split_once(']').unwrap();
    let crowded = format!("{head}[[issuers]]{id}{}{keys}", names("\"unknown\","));
    assert_eq!(refused(&crowded), count("document types of an issuer"));
    let types = "[[parameters.document_types]]\ncode = 9\nname = \"no slug\"\n";
    let registered = text.matches("[[parameters.document_types]]").count();
    let crowded = text.replacen("[[authorities]]", &(types.repeat(257 - registered) + "[[authorities]]"), 1);
    assert_eq!(refused(&crowded), count("document types"));
}

#[test]
fn the_ledger_id_is_that_of_the_values() {
    let made = genesis(3);
    let text = made.to_toml();
    let id = made.ledger_id();
    let without: String = text.lines().filter(|l| !l.starts_with('#')).map(|l| format!("{l}\n")).collect();
    let commented = format!("# another comment\n{}", text.replace(" = ", "   =  "));
    for other in [without, commented, text.replace('\n', "\r\n"), format!("{text}\n\n# end")] {
        assert_ne!(other, text);
        assert_eq!(Genesis::from_toml(&other).unwrap().ledger_id(), id);
    }
    let changes: [fn(&mut Genesis); 6] = [
        |g| g.origin.push('x'),
        |g| g.nonce[31] ^= 1,
        |g| g.time.0 += 1,
        |g| g.grants[0].name.push('x'),
        |g| g.parameters.recosign_interval_ms += 1,
        |g| g.parameters.document_types[0].code = 1000,
    ];
    for (i, change) in changes.iter().enumerate() {
        let mut other = made.clone();
        change(&mut other);
        assert_ne!(other.ledger_id(), id, "change {i}");
    }
    assert_ne!(genesis(4).ledger_id(), id);
}

#[test]
fn mistakes_in_the_file_are_named() {
    let text = genesis(2).to_toml();
    let toml = |changed: String, detail: &str| {
        assert_ne!(changed, text, "{detail}");
        let GenesisFileError::Toml(message) = refused(&changed) else { panic!("{detail}") };
        assert!(message.contains(detail), "{message}");
    };
    toml(text.replacen("origin", "surprise = 1\norigin", 1), "unknown field `surprise`");
    toml(text.replacen("[[authorities]]", "[[authorities]]\nkey = 1", 1), "unknown field `key`");
    toml(text.replacen("[parameters]", "[parameters]\nlimit = 1", 1), "unknown field `limit`");
    toml(text.replacen("version = 1\n", "", 1), "missing field `version`");
    toml(text.replacen("version = 1\n", "version = 1\nversion = 1\n", 1), "duplicate key");
    toml(text.replacen("version = 1", "version = -1", 1), "invalid value");
    toml(text.replacen("nonce = \"", "nonce = 7 #", 1), "invalid type");
    assert!(matches!(refused(""), GenesisFileError::Toml(_)));

    assert_eq!(refused(&text.replacen("version = 1", "version = 2", 1)), GenesisFileError::UnknownVersion(2));
    let nonce = hex::encode([7; 32]);
    for bad in
        ["", &nonce[1..], &format!("{nonce}0"), &nonce.replacen('0', "g", 1), &nonce.replacen("07", "0A", 1)]
    {
        let error = refused(&text.replacen(&nonce, bad, 1));
        assert!(
            matches!(&error, GenesisFileError::Hex { what, digits: 64, .. } if what == "nonce"),
            "{error}"
        );
    }
    let key = hex::encode(secret("a1", "cosigner").public().to_bytes());
    let error = refused(&text.replacen(&key, &key.to_uppercase(), 1));
    assert!(error.to_string().contains("cosigner_key of a1"), "{error}");
    let error = refused(&text.replacen("[\"building-permit\"]", "[\"dog-licence\"]", 1));
    assert!(
        matches!(&error, GenesisFileError::UnknownDocumentType { name, .. } if name == "dog-licence"),
        "{error}"
    );
}

#[test]
fn impossible_values_are_refused() {
    let text = genesis(2).to_toml();
    let invalid = |from: &str, to: &str| {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        let error = refused(&changed);
        assert!(matches!(error, GenesisFileError::Invalid(_)), "{from} -> {to}: {error}");
    };
    let key = |owner: &str, purpose: &str| hex::encode(secret(owner, purpose).public().to_bytes());
    invalid("id = \"a1\"", "id = \"a0\"");
    invalid("id = \"a1\"", "id = \"A1\"");
    invalid("name = \"Authority a1\"", "name = \"\"");
    invalid(&key("a1", "log"), &key("a1", "network"));
    invalid(&key("a1", "log"), &key("a0", "consensus"));
    invalid(&key("a1", "log"), &"0".repeat(64));
    invalid(&key(PERMITS, "issuer"), &"0".repeat(64));
    invalid("registry.neustadt.example", PERMITS);
    invalid("neustadt.example/markstein", "Neustadt/markstein");
    invalid("neustadt.example/markstein", "https://neustadt.example");
    invalid("neustadt.example/markstein", "neustadt.example/");
    invalid("recosign_interval_ms = 60000", "recosign_interval_ms = 999");
    invalid("recosign_interval_ms = 60000", "recosign_interval_ms = 86400001");
    invalid("code = 1", "code = 0");
    invalid("code = 1", "code = 2");
    invalid("code = 1", "code = 3");
    invalid("\"building-permit\", \"register-entry\"", "\"building-permit\", \"building-permit\"");
    invalid("not_after_ms = ", "not_after_ms = 1 #");

    let mut twice = genesis(1);
    twice.parameters.document_types[1].name = twice.parameters.document_types[0].name.clone();
    assert!(matches!(twice.check(), Err(DecodeError::Value { what: "document types", .. })));
    let mut unregistered = genesis(1);
    unregistered.grants[0].document_types.push(3);
    assert!(matches!(
        unregistered.check(),
        Err(DecodeError::Value { what: "document types of a grant", .. })
    ));
    let mut nobody = genesis(1);
    nobody.grants.clear();
    assert!(matches!(nobody.check(), Err(DecodeError::Count { what: "grants", got: 0, .. })));
}

#[test]
fn entries_have_files_of_their_own() {
    let made = genesis(1);
    let authority = AuthorityEntry::from(&made.authorities.authorities()[0]);
    let read = AuthorityEntry::from_toml(&authority.to_toml()).unwrap();
    assert_eq!(read.check().as_ref(), Ok(&made.authorities.authorities()[0]));
    assert!(AuthorityEntry::from_toml(&format!("{}more = 1\n", authority.to_toml())).is_err());
    let text = format!(
        "id = \"{PERMITS}\"\nname = \"Office {PERMITS}\"\ndocument_types = [\"register-entry\", \"building-permit\"]\n\
         [[keys]]\npublic_key = \"{}\"\n",
        hex::encode(secret(PERMITS, "issuer").public().to_bytes())
    );
    let entry = IssuerEntry::from_toml(&text).unwrap();
    assert_eq!(entry.check(&made.parameters), Ok(grant(PERMITS, &[1, 2])));
    assert_eq!(IssuerEntry::from_toml(&entry.to_toml()), Ok(entry));
}

#[test]
fn block_0_follows_from_the_genesis() {
    let made = genesis(4);
    let batch = made.batch();
    let records: Vec<&Record> = batch.records().iter().map(|r| &r.record).collect();
    assert!(records.iter().zip(&made.grants).all(|(r, g)| **r == Record::IssuerGrant(g.clone())));
    assert_eq!((batch.head().ledger, batch.head().created_at), (made.ledger_id(), made.time));
    let header = made.header();
    assert_eq!((header.size_before, header.first_index.0), (LogSize(1 + 3), 0));
    assert_eq!(header.status_root, status::all_valid_root(LogSize(4)));
    assert_eq!(header.authority_set, made.authorities.hash());
    assert_eq!(made.block_id(), Leaf::Header(header).hash());
}

/// All points of small order (RFC 7748 and 8032 curve, order 8 subgroup), then encodings of them that are not canonical.
const SMALL_ORDER: [&str; 8] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
];

#[test]
fn weak_and_ambiguous_keys_are_refused() {
    let text = genesis(1).to_toml();
    let good = hex::encode(secret("a0", "log").public().to_bytes());
    for weak in SMALL_ORDER {
        let bytes = hex::decode(weak).unwrap();
        assert_eq!(PublicKey::from_bytes(&bytes), Err(KeyError::Weak), "{weak}");
        let error = refused(&text.replacen(&good, weak, 1));
        let wanted = DecodeError::Key { what: "log_key", source: KeyError::Weak };
        assert_eq!(error, GenesisFileError::Invalid(wanted));
    }
    // Every y from the field's prime 2^255 - 19 upwards, with either sign, is a second name of a smaller one.
    for low in 0xed..=0xff_u8 {
        for high in [0x7f, 0xff] {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (low, high);
            assert!(PublicKey::from_bytes(&bytes).is_err(), "{}", hex::encode(bytes));
        }
    }
    // Zero has no sign.
    for (low, middle, high) in [(0x01, 0, 0x80), (0xec, 0xff, 0xff)] {
        let mut bytes = [middle; 32];
        (bytes[0], bytes[31]) = (low, high);
        assert!(PublicKey::from_bytes(&bytes).is_err(), "{}", hex::encode(bytes));
    }
    for length in [0, 31, 33, 64] {
        assert_eq!(PublicKey::from_bytes(&vec![1; length]), Err(KeyError::Length(length)));
    }
    let mut two = [0; 32];
    two[0] = 2;
    assert_eq!(PublicKey::from_bytes(&two), Err(KeyError::NotAPoint), "y = 2 is not on the curve");
}

#[test]
fn a_signature_is_of_one_key_and_message() {
    let (key, other) = (secret("a0", "log"), secret("a1", "log"));
    let signature = key.sign(b"message");
    assert!(key.public().verify(b"message", &signature).is_ok());
    assert!(other.public().verify(b"message", &signature).is_err());
    assert!(key.public().verify(b"Message", &signature).is_err());
    for position in 0..64 {
        let mut changed = signature;
        changed.0[position] ^= 1;
        assert!(key.public().verify(b"message", &changed).is_err());
    }
    assert_ne!(key.public().id(), other.public().id());
}

fn key_file() -> KeyFile {
    KeyFile {
        purpose: KeyPurpose::Issuer,
        owner: PERMITS.into(),
        ledger: Some(genesis(1).ledger_id()),
        key: secret(PERMITS, "issuer"),
    }
}

#[test]
fn a_key_goes_through_its_file() {
    let all = [KeyPurpose::Issuer].into_iter().chain(KeyPurpose::AUTHORITY);
    for purpose in all.clone() {
        for ledger in [None, key_file().ledger] {
            let made = KeyFile { purpose, ledger, ..key_file() };
            let read = KeyFile::parse(&made.to_text(), purpose).unwrap();
            assert_eq!((read.purpose, &read.owner, read.ledger), (made.purpose, &made.owner, made.ledger));
            assert_eq!(*read.key.seed(), seed(PERMITS, "issuer"));
            for want in all.clone().filter(|other| *other != purpose) {
                let wrong = KeyFileError::WrongPurpose { want: want.as_str(), found: purpose.as_str() };
                assert_eq!(KeyFile::parse(&made.to_text(), want).unwrap_err(), wrong);
            }
        }
    }
}

#[test]
fn damaged_key_files_are_refused_and_show_nothing() {
    let text = key_file().to_text();
    let digits = hex::encode(seed(PERMITS, "issuer"));
    let other = hex::encode(SecretKey::from_seed(&[3; 32]).public().to_bytes());
    let public = hex::encode(secret(PERMITS, "issuer").public().to_bytes());
    let changes = [
        (text.replace(&public, &other), KeyFileError::Mismatch),
        (text.replace(&public, &public.to_uppercase()), KeyFileError::Mismatch),
        (text.replace(&digits, &hex::encode([9; 32])), KeyFileError::Mismatch),
        (text.replace(&digits, &digits[2..]), KeyFileError::Malformed),
        (text.replace(&digits, &digits.replacen(&digits[..1], "x", 1)), KeyFileError::Malformed),
        (text.replace("owner", "holder"), KeyFileError::Malformed),
        // Of these the first would be written again as a file that nobody can read, the second as one with more lines.
        (text.replace(&format!("= \"{PERMITS}\""), "= 'a\"b'"), KeyFileError::Owner),
        (text.replace(&format!("= \"{PERMITS}\""), "= \"a\\nb\""), KeyFileError::Owner),
        (text.replace("purpose = \"issuer\"", "purpose = \"all\""), KeyFileError::Malformed),
        (text.replace("ledger = \"", "ledger = \"00"), KeyFileError::Malformed),
        (format!("{}more = 1\n", *text), KeyFileError::Malformed),
        (format!("{}{}", *text, "#".repeat(KEY_FILE_MAX)), KeyFileError::Malformed),
        (String::new(), KeyFileError::Malformed),
    ];
    for (changed, error) in changes {
        assert_ne!(changed, *text);
        let found = KeyFile::parse(&changed, KeyPurpose::Issuer).unwrap_err();
        assert_eq!(found, error, "{changed}");
        assert!(!format!("{found} {found:?}").contains(&digits[2..10]));
    }
    for length in 0..text.len() - 1 {
        assert!(KeyFile::parse(&text[..length], KeyPurpose::Issuer).is_err(), "{length} bytes");
    }
    let shown = format!("{:?} {:#?} {:?}", key_file(), key_file(), key_file().key);
    assert!(
        !shown.contains(&digits[..8]) && !shown.contains(&format!("{:?}", &seed(PERMITS, "issuer")[..2]))
    );
    let salt = crate::support::salt(1);
    assert_eq!(format!("{salt:?}"), "Salt(…)");
}

#[test]
fn slugs_are_plain() {
    let good = ["a", "0", "a.b", "bauaufsicht.neustadt.example", "a--b", "1-2", &"x".repeat(SLUG_MAX)];
    for text in good {
        assert_eq!(IssuerId::new(text).unwrap().as_str(), text);
        assert!(AuthorityId::new(text).is_ok() && DocumentTypeName::new(text).is_ok());
    }
    let long = "x".repeat(SLUG_MAX + 1);
    for text in ["", "-a", "a-", ".a", "a.", "A", "a b", "a_b", "a/b", "a+b", "ä", "a\n", "а", "a\0b", &long]
    {
        assert!(IssuerId::new(text).is_err(), "{text:?}");
        assert!(AuthorityId::new(text).is_err() && DocumentTypeName::new(text).is_err());
    }
}

#[test]
fn names_for_people_do_not_deceive() {
    let decode = |name: &str| {
        let named = IssuerGrant { name: name.into(), ..grant(PERMITS, &[1]) };
        Leaf::decode(&Leaf::Record(Record::IssuerGrant(named)).encode())
    };
    for name in
        ["Bürgeramt", "Stadt Neustadt – Bauaufsicht", "市役所", "x", &"y".repeat(200), &"ü".repeat(100)]
    {
        assert!(decode(name).is_ok(), "{name:?}");
    }
    let long = [&"y".repeat(201), &format!("{}y", "ü".repeat(100))];
    for name in ["", " ", " a", "a ", "\u{a0}a", "a\u{3000}"].into_iter().chain(long.map(|s| s.as_str())) {
        assert!(decode(name).is_err(), "{name:?}");
    }
    let invisible = [
        '\0',
        '\t',
        '\n',
        '\r',
        '\u{1b}',
        '\u{7f}',
        '\u{85}',
        '\u{9f}',
        '\u{ad}',
        '\u{61c}',
        '\u{180e}',
        '\u{200b}',
        '\u{200c}',
        '\u{200d}',
        '\u{200e}',
        '\u{200f}',
        '\u{2028}',
        '\u{2029}',
        '\u{202a}',
        '\u{202e}',
        '\u{2060}',
        '\u{2064}',
        '\u{2066}',
        '\u{2069}',
        '\u{206f}',
        '\u{feff}',
        '\u{fff9}',
        '\u{fffb}',
        '\u{e0001}',
        '\u{e0041}',
    ];
    for c in invisible {
        assert!(decode(&format!("Amt{c}Neustadt")).is_err(), "{c:?}");
    }
}
