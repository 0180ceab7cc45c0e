//! An answer put together from its datagrams, in whatever order they come.

use units::Leap;

use super::message::{DATA_LENGTH_MAX, ErrorCode, FRAGMENTS_MAX, Fragment, Header};

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What the system announces.
    pub leap: Leap,
    /// The status word of the system or association: [`super::SystemStatus`] or [`super::PeerStatus`].
    pub status: u16,
    /// All data.
    pub data: Vec<u8>,
}

/// Why there is no whole answer, and never will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AssemblyError {
    /// The daemon refused; the number is kept where it has no name.
    #[error("the daemon answers with error {}: {}", .0, refusal(*.0))]
    Refused(u8),
    /// Two datagrams contradict each other, or one cannot be.
    #[error("the daemon's datagrams contradict each other")]
    Contradiction,
}

/// The words for a refusal.
fn refusal(number: u8) -> &'static str {
    match ErrorCode::from_number(number) {
        Some(ErrorCode::Permission) => "it does not allow that to us",
        Some(ErrorCode::BadFormat) => "it does not understand the format",
        Some(ErrorCode::BadOperation) => "it has no such operation",
        Some(ErrorCode::UnknownAssociation) => "it has no such association",
        Some(ErrorCode::UnknownVariable) => "it has no such variable",
        Some(ErrorCode::BadValue) => "it does not take the value",
        Some(ErrorCode::Prohibited) => "an administrator has forbidden it",
        Some(ErrorCode::Unspecified) | None => "it says no more",
    }
}

/// Collects the datagrams of the answer to one request.
#[derive(Debug, Clone)]
pub struct Assembly {
    request: Header,
    /// Pieces by their place; each but the last is full, so that places are multiples of that.
    pieces: Vec<Option<Vec<u8>>>,
    /// The place of the last piece and what it said, once it is there.
    end: Option<(usize, Leap, u16)>,
}

impl Assembly {
    /// Begins to wait for the answer to a request.
    #[must_use]
    pub fn new(request: Header) -> Self {
        Self {
            request,
            pieces: Vec::new(),
            end: None,
        }
    }

    /// Takes a datagram; returns the answer when it is whole. One that answers another request is passed over,
    /// and so is the same one once more.
    ///
    /// # Errors
    /// See [`AssemblyError`].
    pub fn push(&mut self, fragment: &Fragment<'_>) -> Result<Option<Answer>, AssemblyError> {
        if fragment.header != self.request {
            return Ok(None);
        }
        if fragment.error {
            let [code, _] = fragment.status.to_be_bytes();
            return Err(AssemblyError::Refused(code));
        }
        let place = fragment.offset / DATA_LENGTH_MAX;
        let full = fragment.data.len() == DATA_LENGTH_MAX;
        let beyond = self
            .end
            .is_some_and(|(end, ..)| place > end || (fragment.more && place == end));
        let before = !fragment.more && self.pieces.len() > place + 1;
        if !fragment.offset.is_multiple_of(DATA_LENGTH_MAX)
            || place >= FRAGMENTS_MAX
            || (fragment.more && !full)
            || beyond
            || before
        {
            return Err(AssemblyError::Contradiction);
        }
        if self.pieces.len() <= place {
            self.pieces.resize(place + 1, None);
        }
        match &mut self.pieces[place] {
            Some(known) if known != fragment.data => return Err(AssemblyError::Contradiction),
            piece => *piece = Some(fragment.data.to_vec()),
        }
        if !fragment.more {
            self.end = Some((place, fragment.leap, fragment.status));
        }
        let Some((_, leap, status)) = self.end else {
            return Ok(None);
        };
        let whole: Option<Vec<&Vec<u8>>> = self.pieces.iter().map(Option::as_ref).collect();
        Ok(whole.map(|pieces| Answer {
            leap,
            status,
            data: pieces.into_iter().flatten().copied().collect(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::{Operation, Request};
    use super::*;

    fn request() -> Request<'static> {
        Request::new(Operation::READ_VARIABLES, 7, 9, b"")
    }

    fn datagrams(length: usize) -> (Vec<u8>, Vec<Vec<u8>>) {
        let data: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let sent = request().answer(Leap::Normal, 0x0615, &data).collect();
        (data, sent)
    }

    fn push(assembly: &mut Assembly, datagram: &[u8]) -> Result<Option<Answer>, AssemblyError> {
        assembly.push(&Fragment::decode(datagram).unwrap())
    }

    #[test]
    fn datagrams_may_come_in_any_order_and_twice() {
        let (data, sent) = datagrams(1000);
        assert_eq!(sent.iter().map(Vec::len).collect::<Vec<_>>(), [480, 480, 76]);
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [2, 0, 1]] {
            let mut assembly = Assembly::new(request().header);
            assert_eq!(push(&mut assembly, &sent[order[0]]), Ok(None));
            assert_eq!(push(&mut assembly, &sent[order[1]]), Ok(None));
            assert_eq!(push(&mut assembly, &sent[order[1]]), Ok(None));
            let answer = push(&mut assembly, &sent[order[2]]).unwrap().unwrap();
            assert_eq!((answer.status, &answer.data), (0x0615, &data));
        }
    }

    #[test]
    fn an_answer_to_somebody_else_is_passed_over() {
        let (_, sent) = datagrams(10);
        let mut assembly = Assembly::new(Header {
            sequence: 8,
            ..request().header
        });
        assert_eq!(push(&mut assembly, &sent[0]), Ok(None));
    }

    #[test]
    fn a_refusal_ends_it() {
        let refusal = request().header.error(Leap::Normal, ErrorCode::UnknownVariable);
        let error = push(&mut Assembly::new(request().header), &refusal).unwrap_err();
        assert_eq!(error, AssemblyError::Refused(5));
        assert_eq!(
            error.to_string(),
            "the daemon answers with error 5: it has no such variable"
        );
    }

    #[test]
    fn contradictions_end_it() {
        let (_, sent) = datagrams(1000);
        let (_, short) = datagrams(500);
        // An end before what is already there; a piece behind the end; other data in the same place.
        for pair in [
            [&sent[2], &short[1]],
            [&short[1], &sent[2]],
            [&short[1], &sent[1]],
        ] {
            let mut assembly = Assembly::new(request().header);
            assert_eq!(push(&mut assembly, pair[0]), Ok(None));
            assert_eq!(push(&mut assembly, pair[1]), Err(AssemblyError::Contradiction));
        }
        let mut misplaced = sent[1].clone();
        misplaced[9] ^= 1;
        let mut assembly = Assembly::new(request().header);
        assert_eq!(push(&mut assembly, &misplaced), Err(AssemblyError::Contradiction));
    }
}
