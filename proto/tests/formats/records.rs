//! Records: their versions, and the changes of a status that can be at all.

use markstein_proto::{DecodeError, Leaf, Reason, Record};

use crate::support::{
    Random, anchor, change,
    wire::{Field, change_at, join, split},
};

fn leaf(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    Leaf::decode(bytes).map(|leaf| leaf.encode())
}

pub fn random_change(random: &mut Random) -> Record {
    use markstein_proto::status::Status::{Revoked, Suspended, Valid};
    let all = [(Valid, Suspended), (Valid, Revoked), (Suspended, Valid), (Suspended, Revoked)];
    let (from, to) = all[random.below(4) as usize];
    change(random.u64(), from, to, Reason::ALL[random.below(9) as usize])
}

/// A record of a later release, whatever is in it: nothing can be said of it, which is not the same as "wrong".
#[test]
fn records_of_a_later_release_are_told_apart() {
    let unknown = |found| Err(DecodeError::UnknownVersion { what: "record", found });
    let bytes = Leaf::Record(anchor(1, 1)).encode();
    let with = |message: &dyn Fn(Vec<Field>) -> Vec<Field>| {
        change_at(&bytes, &[2], &|record| join(&message(split(record))))
    };
    let version = |value: Vec<u8>| Field { number: 1, wire_type: 0, value };
    assert_eq!(leaf(&with(&|fields| fields)), Ok(bytes.clone()));
    for (value, found) in [(vec![2], 2), (vec![0xac, 2], 300)] {
        assert_eq!(leaf(&with(&|f| vec![version(value.clone()), f[1].clone()])), unknown(found));
        let kind = Field { number: 9, wire_type: 2, value: vec![1, 2, 3] };
        assert_eq!(leaf(&with(&|_| vec![version(value.clone()), kind.clone()])), unknown(found));
        let field = Field { number: 12, wire_type: 0, value: vec![7] };
        assert_eq!(
            leaf(&with(&|f| vec![version(value.clone()), f[1].clone(), field.clone()])),
            unknown(found)
        );
    }
    assert_eq!(leaf(&with(&|f| vec![f[1].clone()])), unknown(0));
    let kind = Field { number: 9, wire_type: 2, value: vec![1, 2, 3] };
    let missing = Err(DecodeError::Missing("kind of the record"));
    assert_eq!(leaf(&with(&|f| vec![f[0].clone(), kind.clone()])), missing);
}

#[test]
fn changes_that_cannot_be_are_refused() {
    let bytes = |from: u8, to: u8, reason: u8| {
        let scalar =
            |number, value: u8| (value != 0).then(|| Field { number, wire_type: 0, value: vec![value] });
        let fields = [scalar(1, 5), scalar(2, from), scalar(3, to), scalar(4, reason)];
        let change: Vec<Field> = fields.into_iter().flatten().collect();
        let change = Field { number: 4, wire_type: 2, value: join(&change) };
        let record = [Field { number: 1, wire_type: 0, value: vec![1] }, change];
        Field { number: 2, wire_type: 2, value: join(&record) }.write()
    };
    for from in 0..6 {
        for to in 0..6 {
            let good = [(0, 1), (0, 2), (2, 0), (2, 1)].contains(&(from, to));
            assert_eq!(leaf(&bytes(from, to, 1)).is_ok(), good, "{from} to {to}");
        }
    }
    for reason in 0..=127 {
        assert_eq!(leaf(&bytes(0, 1, reason)).is_ok(), (1..=9).contains(&reason), "reason {reason}");
    }
    for reason in Reason::ALL {
        assert_eq!(Reason::from_word(reason.as_str()), Some(reason));
    }
}
