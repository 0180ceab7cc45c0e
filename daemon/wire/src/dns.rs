//! As much of DNS as finds the addresses of a name: a question, and what a server answers (RFC 1035, RFC 3596).

use std::net::IpAddr;

/// The longest name, bytes, as it is sent (RFC 1035 §2.3.4).
const NAME_LENGTH_MAX: usize = 255;

/// The length of the header of a message, bytes.
const HEADER_LENGTH: usize = 12;

/// How many aliases are followed.
const ALIASES_MAX: usize = 16;

const TYPE_A: u16 = 1;
const TYPE_CNAME: u16 = 5;
const TYPE_AAAA: u16 = 28;
const CLASS_INTERNET: u16 = 1;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordType {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
}

/// A full name, as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(Vec<u8>);

/// A question for the addresses of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    record_type: RecordType,
    message: Vec<u8>,
}

/// What a server says of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It has these addresses; none of the type asked for, perhaps.
    Addresses(Vec<IpAddr>),
    /// There is no such name.
    NoName,
    /// The answer is longer than what was sent of it: to be asked for over a connection.
    Truncated,
}

/// Why a message says nothing of the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// It is not the answer to this question: somebody's guess, or the answer to one before.
    #[error("not the answer to this question")]
    NotOurs,
    /// The server failed, or does not answer us.
    #[error("the server does not answer the question")]
    Refused,
    /// It is not made as answers are.
    #[error("not an answer of DNS")]
    Malformed,
}

impl Name {
    /// Takes a name, without a dot at its end; `None` if there can be no such name.
    pub fn new(name: &str) -> Option<Self> {
        let mut encoded = Vec::new();
        for part in name.split('.') {
            let is_sendable = part.bytes().all(|byte| byte.is_ascii_graphic());
            let length = u8::try_from(part.len())
                .ok()
                .filter(|length| (1..64).contains(length));
            encoded.push(length.filter(|_| is_sendable)?);
            encoded.extend(part.as_bytes());
        }
        encoded.push(0);
        (encoded.len() <= NAME_LENGTH_MAX).then_some(Self(encoded))
    }
}

impl Query {
    /// Asks for the addresses of a name under a number, which nobody should be able to guess.
    pub fn new(number: u16, name: &Name, record_type: RecordType) -> Self {
        let [high, low] = number.to_be_bytes();
        // Recursion is desired; one question.
        let mut message = vec![high, low, 0b1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        message.extend(&name.0);
        message.extend(record_type.number().to_be_bytes());
        message.extend(CLASS_INTERNET.to_be_bytes());
        Self { record_type, message }
    }

    /// The message that is sent.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// Reads a message that came back.
    ///
    /// # Errors
    /// It says nothing of the name.
    pub fn read(&self, message: &[u8]) -> Result<Answer, AnswerError> {
        if !self.is_answered_by(message) {
            return Err(AnswerError::NotOurs);
        }
        let mut reader = Reader { message, at: 2 };
        let [flags, code] = reader.number()?.to_be_bytes();
        if flags & 0b10 != 0 {
            return Ok(Answer::Truncated);
        }
        match code & 0x0f {
            0 => {}
            3 => return Ok(Answer::NoName),
            _ => return Err(AnswerError::Refused),
        }
        reader.at = 6;
        let count = reader.number()?;
        reader.at = HEADER_LENGTH;
        let name = reader.name()?;
        reader.at = self.message.len();
        self.read_records(reader, count, name).map(Answer::Addresses)
    }

    /// Whether a message has the number and the question of this.
    fn is_answered_by(&self, message: &[u8]) -> bool {
        let is_answer = message.get(2).is_some_and(|flags| flags & 0x80 != 0);
        let same_question = message
            .get(HEADER_LENGTH..self.message.len())
            .zip(self.message.get(HEADER_LENGTH..))
            .is_some_and(|(echoed, asked)| echoed.eq_ignore_ascii_case(asked));
        is_answer
            && message.get(..2) == self.message.get(..2)
            && message.get(4..6) == Some(&[0, 1])
            && same_question
    }

    /// Reads so many records: the addresses of the name, or of what it is an alias for.
    fn read_records(
        &self,
        mut reader: Reader<'_>,
        count: u16,
        name: Vec<u8>,
    ) -> Result<Vec<IpAddr>, AnswerError> {
        let mut wanted = name;
        let mut aliases = Vec::new();
        let mut addresses = Vec::new();
        for _ in 0..count {
            let owner = reader.name()?;
            let (type_, class) = (reader.number()?, reader.number()?);
            reader.take(4)?;
            let length = reader.number()?;
            let at = reader.at;
            let data = reader.take(length.into())?;
            if class != CLASS_INTERNET {
                continue;
            }
            if type_ == TYPE_CNAME {
                let message = reader.message;
                aliases.push((owner, Reader { message, at }.name()?));
            } else if type_ == self.record_type.number()
                && let Some(address) = self.record_type.address(data)
            {
                addresses.push((owner, address));
            }
        }
        for _ in 0..ALIASES_MAX {
            let Some((_, alias)) = aliases.iter().find(|(owner, _)| *owner == wanted) else {
                break;
            };
            wanted.clone_from(alias);
        }
        let of_name = addresses.into_iter().filter(|(owner, _)| *owner == wanted);
        Ok(of_name.map(|(_, address)| address).collect())
    }
}

impl RecordType {
    const fn number(self) -> u16 {
        match self {
            Self::A => TYPE_A,
            Self::Aaaa => TYPE_AAAA,
        }
    }

    /// The address in the data of such a record.
    fn address(self, data: &[u8]) -> Option<IpAddr> {
        match self {
            Self::A => <[u8; 4]>::try_from(data).map(IpAddr::from).ok(),
            Self::Aaaa => <[u8; 16]>::try_from(data).map(IpAddr::from).ok(),
        }
    }
}

/// Reads through a message.
struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// The next 16 bits.
    fn number(&mut self) -> Result<u16, AnswerError> {
        let bytes = self.take(2)?;
        Ok(bytes
            .iter()
            .fold(0, |number, &byte| number << 8 | u16::from(byte)))
    }

    /// The next so many bytes.
    fn take(&mut self, length: usize) -> Result<&'a [u8], AnswerError> {
        let end = self.at + length;
        let bytes = self.message.get(self.at..end).ok_or(AnswerError::Malformed)?;
        self.at = end;
        Ok(bytes)
    }

    /// The next name, in small letters, with a dot after each of its parts. Parts may stand earlier in the message, and
    /// only there, so that no name has no end.
    fn name(&mut self) -> Result<Vec<u8>, AnswerError> {
        let mut name = Vec::new();
        let mut earliest = self.at;
        let mut end = None;
        loop {
            let length = self.byte()?;
            match length {
                0 => break,
                1..=0x3f => {
                    name.extend(self.take(length.into())?.to_ascii_lowercase());
                    name.push(b'.');
                    if name.len() > NAME_LENGTH_MAX {
                        return Err(AnswerError::Malformed);
                    }
                }
                0xc0.. => {
                    let low = self.byte()?;
                    end.get_or_insert(self.at);
                    self.at = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                    if self.at >= earliest {
                        return Err(AnswerError::Malformed);
                    }
                    earliest = self.at;
                }
                _ => return Err(AnswerError::Malformed),
            }
        }
        self.at = end.unwrap_or(self.at);
        Ok(name)
    }

    fn byte(&mut self) -> Result<u8, AnswerError> {
        let byte = *self.message.get(self.at).ok_or(AnswerError::Malformed)?;
        self.at += 1;
        Ok(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBER: u16 = 0x1234;

    fn query(record_type: RecordType) -> Query {
        Query::new(NUMBER, &Name::new("ntp.example.net").unwrap(), record_type)
    }

    /// A record; its owner is at this place of the message.
    fn record(owner: u16, type_: u16, data: &[u8]) -> Vec<u8> {
        let mut record = (0xc000 | owner).to_be_bytes().to_vec();
        record.extend(type_.to_be_bytes());
        record.extend(CLASS_INTERNET.to_be_bytes());
        record.extend(60u32.to_be_bytes());
        record.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        record.extend(data);
        record
    }

    fn answer(query: &Query, records: &[Vec<u8>]) -> Vec<u8> {
        let mut message = query.message().to_vec();
        message[2] |= 0x80;
        message[7] = u8::try_from(records.len()).unwrap();
        message.extend(records.concat());
        message
    }

    #[test]
    fn a_question_is_what_servers_are_sent() {
        assert_eq!(
            query(RecordType::Aaaa).message(),
            b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03ntp\x07example\x03net\0\0\x1c\0\x01"
        );
        for name in ["", ".", "a..b", "a b", "a.", &"x".repeat(64), &"abc.".repeat(70)] {
            assert_eq!(Name::new(name), None, "{name}");
        }
    }

    #[test]
    fn only_addresses_of_the_type_asked_for_are_found() {
        let [v4, v6] = [[192, 0, 2, 1].as_slice(), &[0x20; 16]];
        let [of_v4, of_v6] = [IpAddr::from([192, 0, 2, 1]), IpAddr::from([0x20; 16])];
        for (record_type, found) in [(RecordType::A, of_v4), (RecordType::Aaaa, of_v6)] {
            let query = query(record_type);
            // Two whose data is as long as that of the other type.
            let records = [TYPE_A, TYPE_AAAA].map(|type_| [record(12, type_, v4), record(12, type_, v6)]);
            let message = answer(&query, &records.concat());
            assert_eq!(query.read(&message), Ok(Answer::Addresses(vec![found])));
        }
    }

    #[test]
    fn the_address_of_what_a_name_is_an_alias_for_is_its_own() {
        let query = query(RecordType::A);
        let end = u16::try_from(query.message().len()).unwrap();
        let alias = record(12, TYPE_CNAME, b"\x01b\xc0\x10");
        let other = record(16, TYPE_A, &[192, 0, 2, 99]);
        let own = record(end + 12, TYPE_A, &[192, 0, 2, 5]);
        // The name that it stands for is in the data of the alias, 12 bytes behind the end of the question.
        let message = answer(&query, &[alias, own, other]);
        assert_eq!(
            query.read(&message),
            Ok(Answer::Addresses(vec![[192, 0, 2, 5].into()]))
        );
    }

    #[test]
    fn aliases_in_a_circle_have_no_address() {
        let query = query(RecordType::A);
        let to_itself = record(12, TYPE_CNAME, b"\xc0\x0c");
        let message = answer(&query, &[to_itself]);
        assert_eq!(query.read(&message), Ok(Answer::Addresses(Vec::new())));
    }

    #[test]
    fn a_name_that_points_to_itself_or_on_is_refused() {
        let query = query(RecordType::A);
        let end = u16::try_from(query.message().len()).unwrap();
        for owner in [end, end + 1, end + 10, 0x3fff] {
            let message = answer(&query, &[record(owner, TYPE_A, &[192, 0, 2, 66])]);
            assert_eq!(query.read(&message), Err(AnswerError::Malformed), "{owner}");
        }
    }

    #[test]
    fn what_answers_something_else_is_not_ours() {
        let query = query(RecordType::A);
        let right = answer(&query, &[record(12, TYPE_A, &[192, 0, 2, 1])]);
        // Number, direction, number of questions, question.
        for (at, bit) in [(0, 1), (1, 0x80), (2, 0x80), (5, 2), (13, 1), (30, 1)] {
            let mut wrong = right.clone();
            wrong[at] ^= bit;
            assert_eq!(query.read(&wrong), Err(AnswerError::NotOurs), "byte {at}");
        }
        assert_eq!(query.read(&[]), Err(AnswerError::NotOurs));
        let mut shouted = right.clone();
        shouted[13..16].make_ascii_uppercase();
        assert_eq!(query.read(&shouted), query.read(&right));
    }

    #[test]
    fn servers_that_do_not_say_are_told_apart_from_names_that_are_not() {
        let query = query(RecordType::A);
        for (flags, code, read) in [
            (0b10, 0, Ok(Answer::Truncated)),
            (0, 3, Ok(Answer::NoName)),
            (0, 2, Err(AnswerError::Refused)),
            (0, 5, Err(AnswerError::Refused)),
            (0, 0, Ok(Answer::Addresses(Vec::new()))),
        ] {
            let mut message = answer(&query, &[]);
            message[2] |= flags;
            message[3] |= code;
            assert_eq!(query.read(&message), read);
        }
    }

    #[test]
    fn what_is_cut_is_malformed() {
        let query = query(RecordType::A);
        let whole = answer(&query, &[record(12, TYPE_A, &[192, 0, 2, 1])]);
        for length in query.message().len()..whole.len() {
            assert_eq!(
                query.read(&whole[..length]),
                Err(AnswerError::Malformed),
                "{length}"
            );
        }
    }
}
