//! A question to a daemon and its answer, over whatever carries datagrams.

use std::io::{self, ErrorKind};
use std::time::Duration;

use super::{REPLY_LENGTH_MAX, Reply, ReplyError, Request};

/// How long the answer to a request is waited for before it is sent again, and how often it is sent; `chronyc`
/// has the same patience when it is not told otherwise.
pub const PATIENCE: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// What a conversation needs of the host: a way to a daemon, a clock, and random numbers.
pub trait Channel {
    /// Sends a datagram to the daemon, and waits so long for room when a daemon that stands still has too many already.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] or [`ErrorKind::WouldBlock`] when no room came in time; otherwise as `send`.
    fn send(&mut self, datagram: &[u8], limit: Duration) -> io::Result<()>;

    /// Waits for a datagram, and gives its length.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] or [`ErrorKind::WouldBlock`] when none came in time; otherwise as `recv`.
    fn receive(&mut self, buffer: &mut [u8], limit: Duration) -> io::Result<usize>;

    /// The time on a clock that nobody sets, since a moment that stays the same.
    fn now(&self) -> Duration;

    /// A number that nobody can foresee.
    ///
    /// # Errors
    /// When the host has none.
    fn number(&mut self) -> io::Result<u32>;
}

/// Why there is no report; displays in the words of `chronyc`.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody answers, for the reason that is carried.
    #[error("506 Cannot talk to daemon")]
    NoAnswer(io::Error),
    /// The daemon refuses, in its own words, or its answer cannot be read.
    #[error("{0}")]
    Refused(ReplyError),
    /// The answer is one to another question.
    #[error("508 Bad reply from daemon")]
    Unexpected,
}

/// Gives a patience that is over when the time that is left is: the last waits are shorter, or there are none.
pub fn patience_within(patience: &[Duration], mut left: Duration) -> impl Iterator<Item = Duration> {
    patience.iter().map_while(move |limit| {
        let limit = left.min(*limit);
        left -= limit;
        (!limit.is_zero()).then_some(limit)
    })
}

/// Sends a request and waits for its answer, once for each of the times in `patience`, and altogether no longer than
/// these.
///
/// # Errors
/// [`AskError::NoAnswer`] when none came or nothing could be sent, [`AskError::Refused`] when it is no success.
pub fn ask(
    channel: &mut impl Channel,
    request: &Request,
    patience: impl IntoIterator<Item = Duration>,
) -> Result<Reply, AskError> {
    let mut last = ErrorKind::TimedOut.into();
    for limit in patience {
        match exchange(channel, request, limit) {
            Ok(answer) => return answer.map_err(AskError::Refused),
            Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => last = error,
            Err(error) => return Err(AskError::NoAnswer(error)),
        }
    }
    Err(AskError::NoAnswer(last))
}

/// Sends a request once, and takes the answer to it that comes in time.
fn exchange(
    channel: &mut impl Channel,
    request: &Request,
    limit: Duration,
) -> io::Result<Result<Reply, ReplyError>> {
    let sequence = channel.number()?;
    let end = channel.now() + limit;
    channel.send(&request.encode(sequence), limit)?;
    let mut buffer = [0; REPLY_LENGTH_MAX];
    loop {
        let left = end.saturating_sub(channel.now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        let length = channel.receive(&mut buffer, left)?;
        let datagram = buffer.get(..length).unwrap_or_default();
        match Reply::decode(datagram, request.command(), sequence) {
            Err(error) if error.is_not_for_us() => {}
            answer => return Ok(answer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::candm::{Header, Status};

    /// What the daemon at the other end does with a request.
    #[derive(Clone, Copy)]
    enum Manner {
        Answers,
        Refuses,
        /// Its answer to an earlier request comes, again and again.
        AnswersAnother,
        AnswersInPart,
        IsSilent,
        /// It stands still, and takes no more requests.
        IsFull,
        IsGone,
    }

    /// A daemon that does something else at every request.
    struct Daemon {
        manners: Vec<Manner>,
        asked: Vec<Vec<u8>>,
        now: Duration,
    }

    /// A second of silence.
    const SECOND: Duration = Duration::from_secs(1);

    impl Daemon {
        fn that(manners: &[Manner]) -> Self {
            Self {
                manners: manners.to_vec(),
                asked: Vec::new(),
                now: Duration::from_secs(99),
            }
        }
    }

    impl Channel for Daemon {
        fn send(&mut self, datagram: &[u8], limit: Duration) -> io::Result<()> {
            self.asked.push(datagram.to_vec());
            match self.manners[self.asked.len() - 1] {
                Manner::IsGone => Err(ErrorKind::ConnectionRefused.into()),
                Manner::IsFull => {
                    self.now += limit;
                    Err(ErrorKind::WouldBlock.into())
                }
                _ => Ok(()),
            }
        }

        fn receive(&mut self, buffer: &mut [u8], limit: Duration) -> io::Result<usize> {
            let (mut header, _) = Request::decode(self.asked.last().unwrap()).unwrap();
            let manner = self.manners[self.asked.len() - 1];
            self.now += match manner {
                Manner::IsSilent => limit,
                _ => limit.min(SECOND / 4),
            };
            if matches!(manner, Manner::AnswersAnother) {
                header = Header {
                    sequence: header.sequence.wrapping_add(1),
                    ..header
                };
            }
            let answer = match manner {
                Manner::IsSilent => return Err(ErrorKind::WouldBlock.into()),
                Manner::Refuses => Status::Unauthorised.encode(&header),
                _ => Reply::NSources(3).encode(&header),
            };
            let part = usize::from(matches!(manner, Manner::AnswersInPart));
            let length = answer.len() - part;
            buffer[..length].copy_from_slice(&answer[..length]);
            Ok(length)
        }

        fn now(&self) -> Duration {
            self.now
        }

        fn number(&mut self) -> io::Result<u32> {
            u32::try_from(self.asked.len() * 1000).map_err(io::Error::other)
        }
    }

    /// Asks, and says how often and for how long.
    fn try_with(manners: &[Manner]) -> (Result<Reply, String>, usize, Duration) {
        let mut daemon = Daemon::that(manners);
        let begun = daemon.now;
        let answer = ask(&mut daemon, &Request::NSources, PATIENCE);
        (
            answer.map_err(|error| error.to_string()),
            daemon.asked.len(),
            daemon.now - begun,
        )
    }

    #[test]
    fn the_answer_is_taken_and_others_are_not() {
        let (answer, asked, _) = try_with(&[Manner::Answers]);
        assert_eq!((answer, asked), (Ok(Reply::NSources(3)), 1));
        let (answer, asked, took) = try_with(&[Manner::AnswersAnother, Manner::Answers]);
        assert_eq!((answer, asked), (Ok(Reply::NSources(3)), 2));
        assert_eq!(took, PATIENCE[0] + SECOND / 4, "others do not renew the patience");
    }

    #[test]
    fn what_is_lost_is_asked_again() {
        for lost in [Manner::IsSilent, Manner::IsFull] {
            let (answer, asked, took) = try_with(&[lost, lost, Manner::Answers]);
            assert_eq!((answer, asked), (Ok(Reply::NSources(3)), 3));
            assert_eq!(took, PATIENCE[0] + PATIENCE[1] + SECOND / 4);
            let (answer, asked, took) = try_with(&[lost; 3]);
            assert_eq!((answer, asked), (Err("506 Cannot talk to daemon".to_owned()), 3));
            assert_eq!(took, PATIENCE.iter().sum());
        }
    }

    #[test]
    fn a_refusal_is_not_asked_again() {
        let (answer, asked, _) = try_with(&[Manner::Refuses]);
        assert_eq!((answer, asked), (Err("501 Not authorised".to_owned()), 1));
        let (answer, asked, _) = try_with(&[Manner::IsGone]);
        assert_eq!((answer, asked), (Err("506 Cannot talk to daemon".to_owned()), 1));
        let (answer, asked, _) = try_with(&[Manner::AnswersInPart]);
        let said = "the reply has 31 bytes instead of 32".to_owned();
        assert_eq!((answer, asked), (Err(said), 1));
    }

    #[test]
    fn patience_ends_with_what_is_left() {
        let within = |left| patience_within(&PATIENCE, left).collect::<Vec<_>>();
        assert_eq!(within(SECOND * 60), PATIENCE);
        assert_eq!(within(SECOND * 4), [SECOND, SECOND * 2, SECOND]);
        assert_eq!(within(SECOND * 3), [SECOND, SECOND * 2]);
        assert_eq!(within(SECOND / 10), [SECOND / 10]);
        assert_eq!(within(Duration::ZERO), []);
    }
}
