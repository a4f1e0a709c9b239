//! Protobuf taken apart by hand, so that the tests can write what the library would not.

/// One field as it stands in a message: its number, its wire type, its bytes with the key, and its value.
#[derive(Clone)]
pub struct Field {
    pub number: u64,
    pub wire_type: u64,
    pub value: Vec<u8>,
}

pub fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn read_varint(bytes: &mut &[u8]) -> Vec<u8> {
    let end = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
    let (varint, rest) = bytes.split_at(end);
    *bytes = rest;
    varint.to_vec()
}

fn number(varint: &[u8]) -> u64 {
    varint.iter().rev().fold(0, |sum, byte| sum << 7 | u64::from(byte & 0x7f))
}

/// Splits a message that is known to be good.
pub fn split(mut bytes: &[u8]) -> Vec<Field> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = number(&read_varint(&mut bytes));
        let value = if key & 7 == 2 {
            let length = number(&read_varint(&mut bytes)) as usize;
            let (value, rest) = bytes.split_at(length);
            bytes = rest;
            value.to_vec()
        } else {
            read_varint(&mut bytes)
        };
        fields.push(Field { number: key >> 3, wire_type: key & 7, value });
    }
    fields
}

impl Field {
    pub fn write(&self) -> Vec<u8> {
        let length = if self.wire_type == 2 { varint(self.value.len() as u64) } else { Vec::new() };
        [varint(self.number << 3 | self.wire_type), length, self.value.clone()].concat()
    }
}

pub fn join(fields: &[Field]) -> Vec<u8> {
    fields.iter().flat_map(Field::write).collect()
}

/// The bytes with the message at `path`, fields from the outermost inwards, replaced by what `change` makes of it.
pub fn change_at(bytes: &[u8], path: &[u64], change: &dyn Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let Some((step, rest)) = path.split_first() else { return change(bytes) };
    let mut fields = split(bytes);
    let field = fields.iter_mut().find(|field| field.number == *step).unwrap();
    field.value = change_at(&field.value, rest, change);
    join(&fields)
}
