//! Signed notes: a text, a blank line, and one line for each signature (C2SP signed-note).

use alloc::{borrow::ToOwned, string::String, vec::Vec};
use core::fmt;

use super::{Algorithm, KeyHash, KeyName, KeyNameError, Vkey};
use crate::{
    Sign, Signature, Verdict,
    encoding::{base64_decode, base64_encode},
    key,
};

/// Longest note, text and signatures together, in bytes.
pub const NOTE_MAX: usize = 64 * 1024;
/// Most signature lines of one note: several for each member of the largest authority set.
pub const SIGNATURES_MAX: usize = 256;

/// What every signature line begins with: an em dash and a space.
const LINE_START: &str = "\u{2014} ";

/// A note of correct form. Its signatures are as received; nothing is said about whether they verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// One signature line: `— <name> base64(key hash || signature)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    /// Whose signature it claims to be.
    pub name: KeyName,
    /// Which key of that name.
    pub key_hash: KeyHash,
    /// The signature, whose form depends on the algorithm of the key; never empty in a note.
    pub signature: Vec<u8>,
}

/// Why bytes are no signed note, or a note is not signed by a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Longer than [`NOTE_MAX`].
    #[error("the note has {0} bytes, at most {NOTE_MAX} are allowed")]
    TooLong(usize),
    /// Not text.
    #[error("the note is not UTF-8 text")]
    NotUtf8,
    /// A character below U+0020 other than newline.
    #[error("the note contains the control character {0:?}")]
    ControlCharacter(char),
    /// The text or the last signature line is cut off.
    #[error("the note does not end in a newline")]
    NoFinalNewline,
    /// Nothing separates the text from signatures.
    #[error("the note has no blank line before its signatures")]
    NoBlankLine,
    /// The blank line is the end.
    #[error("the note has no signature")]
    NoSignature,
    /// More lines than [`SIGNATURES_MAX`].
    #[error("the note has more than {SIGNATURES_MAX} signatures")]
    TooManySignatures,
    /// A line after the blank line that is no signature line. Lines count from 1 there.
    #[error("signature line {line} is not of the form \u{2014} name base64")]
    Line {
        /// Which one, from 1.
        line: usize,
    },
    /// The name in a signature line.
    #[error("signature line {line}: {source}")]
    Name {
        /// Which one, from 1.
        line: usize,
        /// What is wrong with the name.
        source: KeyNameError,
    },
    /// The verifier key signs in another way.
    #[error("the verifier key of {0} is not of type 0x01 (Ed25519)")]
    WrongKeyType(KeyName),
    /// No line of this key.
    #[error("the note is not signed by {0}")]
    NotSignedBy(KeyName),
    /// A line of this key that does not verify.
    #[error("the signature by {0} is not valid")]
    BadSignature(KeyName),
}

impl Note {
    /// Puts a note together.
    ///
    /// # Errors
    /// Where the parts make no note that [`Note::parse`] would read.
    pub fn new(text: &str, signatures: Vec<NoteSignature>) -> Result<Self, NoteError> {
        check_text(text)?;
        if signatures.len() > SIGNATURES_MAX {
            return Err(NoteError::TooManySignatures);
        }
        if signatures.is_empty() {
            return Err(NoteError::NoSignature);
        }
        if let Some(empty) = signatures.iter().position(|line| line.signature.is_empty()) {
            return Err(NoteError::Line { line: empty + 1 });
        }
        let length = signatures.iter().fold(text.len() + 1, |sum, line| sum + line.line_length());
        if length > NOTE_MAX {
            return Err(NoteError::TooLong(length));
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// Reads a note. What it reads, [`Note`]'s `Display` writes again, byte for byte.
    ///
    /// # Errors
    /// Where the bytes are no signed note, see [`NoteError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > NOTE_MAX {
            return Err(NoteError::TooLong(bytes.len()));
        }
        let note = core::str::from_utf8(bytes).map_err(|_| NoteError::NotUtf8)?;
        check_text(note)?;
        // The text may have blank lines of its own; the last one is the separator.
        let end = note.rfind("\n\n").ok_or(NoteError::NoBlankLine)? + 1;
        let (text, lines) = (&note[..end], &note[end + 1..]);
        if lines.is_empty() {
            return Err(NoteError::NoSignature);
        }
        if lines.bytes().filter(|&byte| byte == b'\n').count() > SIGNATURES_MAX {
            return Err(NoteError::TooManySignatures);
        }
        let signatures = lines.split_terminator('\n').zip(1..).map(|(line, number)| parse_line(line, number));
        Ok(Self { text: text.to_owned(), signatures: signatures.collect::<Result<_, _>>()? })
    }

    /// The text that is signed, with its final newline.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// All signature lines in order, those of unknown keys too.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Checks that a key of type 0x01 signed this note.
    ///
    /// # Errors
    /// Where no line is this key's, or one is and does not verify.
    pub fn verify_ed25519(&self, vkey: &Vkey) -> Result<(), NoteError> {
        self.verify_ed25519_with(vkey, &key::strictly)
    }

    /// The same with another [`Verdict`] on the signatures.
    ///
    /// # Errors
    /// As [`Self::verify_ed25519`].
    pub fn verify_ed25519_with(&self, vkey: &Vkey, verdict: Verdict<'_>) -> Result<(), NoteError> {
        if vkey.algorithm() != Algorithm::Ed25519 {
            return Err(NoteError::WrongKeyType(vkey.name().clone()));
        }
        let mut signed = false;
        for line in self.signatures.iter().filter(|line| line.is_by(vkey)) {
            let bad = || NoteError::BadSignature(vkey.name().clone());
            let signature = Signature::try_from(line.signature.as_slice()).map_err(|_| bad())?;
            if !verdict(vkey.key(), self.text.as_bytes(), &signature) {
                return Err(bad());
            }
            signed = true;
        }
        if signed { Ok(()) } else { Err(NoteError::NotSignedBy(vkey.name().clone())) }
    }
}

impl NoteSignature {
    /// Whether name and key hash are those of this key. Only verifying tells whether it made the signature.
    #[must_use]
    pub fn is_by(&self, vkey: &Vkey) -> bool {
        self.key_hash == vkey.key_hash() && self.name == *vkey.name()
    }

    /// Reads one signature line without its newline.
    ///
    /// # Errors
    /// Where it is none, see [`NoteError`].
    pub fn parse(line: &str) -> Result<Self, NoteError> {
        parse_line(line, 1)
    }

    /// Bytes of this line in a note, newline included.
    fn line_length(&self) -> usize {
        LINE_START.len() + self.name.as_str().len() + 1 + (4 + self.signature.len()).div_ceil(3) * 4 + 1
    }
}

/// Signs a text as a note with a key of type 0x01.
///
/// # Errors
/// Where the text is no text of a note: it must end in a newline and have no control characters.
pub fn sign_ed25519(
    name: &KeyName,
    key: &(impl Sign + ?Sized),
    text: &str,
) -> Result<NoteSignature, NoteError> {
    check_text(text)?;
    let vkey = Vkey::new(name.clone(), Algorithm::Ed25519, key.public());
    let signature = key.sign(text.as_bytes()).0.to_vec();
    Ok(NoteSignature { name: name.clone(), key_hash: vkey.key_hash(), signature })
}

/// What holds for the text of a note and for a whole note alike.
fn check_text(text: &str) -> Result<(), NoteError> {
    if let Some(character) = text.chars().find(|&c| c < ' ' && c != '\n') {
        return Err(NoteError::ControlCharacter(character));
    }
    if text.ends_with('\n') { Ok(()) } else { Err(NoteError::NoFinalNewline) }
}

fn parse_line(line: &str, number: usize) -> Result<NoteSignature, NoteError> {
    let malformed = || NoteError::Line { line: number };
    let (name, base64) =
        line.strip_prefix(LINE_START).and_then(|rest| rest.split_once(' ')).ok_or_else(malformed)?;
    let name = KeyName::new(name).map_err(|source| NoteError::Name { line: number, source })?;
    let bytes = base64_decode(base64, NOTE_MAX).map_err(|_| malformed())?;
    let (key_hash, signature) = bytes.split_first_chunk::<4>().ok_or_else(malformed)?;
    if signature.is_empty() {
        return Err(malformed());
    }
    Ok(NoteSignature { name, key_hash: *key_hash, signature: signature.to_vec() })
}

impl fmt::Display for Note {
    /// The note as it is stored and sent: text, blank line, signature lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl fmt::Display for NoteSignature {
    /// The line without its newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.key_hash.as_slice(), self.signature.as_slice()].concat();
        write!(f, "{LINE_START}{} {}", self.name, base64_encode(&bytes))
    }
}
