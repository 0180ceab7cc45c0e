//! As much of HTTP/1.1 as tells the time: a request for nothing but the header (RFC 9110 §9.3.2), and the field `Date`
//! of the answer (§6.6.1). And as much as asks for a page: the first line of a request (RFC 9112 §3).

use units::UnixTime;

/// The longest header that is read, bytes.
pub const HEADER_LENGTH_MAX: usize = 8192;

/// Why a header does not tell the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// It does not begin as an answer of HTTP/1.
    #[error("not an answer of HTTP/1")]
    NotHttp,
    /// It has more than [`HEADER_LENGTH_MAX`] bytes before the date.
    #[error("maximum length exceeded")]
    TooLong,
    /// The date is not in the format that servers have to use.
    #[error("unsupported date format")]
    UnsupportedDate,
    /// It ended without a date.
    #[error("no date in the header")]
    NoDate,
}

/// Returns a request for the header of what is at `path` on the server `authority` (`HOST[:PORT]`). Neither may have
/// white space or control characters in it, which would be another request.
pub fn head_request(authority: &str, path: &str) -> String {
    format!("HEAD {path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: timeballd\r\nConnection: close\r\n\r\n")
}

/// A header that comes in pieces.
#[derive(Debug, Default)]
pub struct HeaderReader {
    /// The line that has begun.
    line: Vec<u8>,
    /// How many bytes there were.
    length: usize,
    /// Whether the first line was read.
    is_begun: bool,
}

impl HeaderReader {
    /// Takes the next bytes; returns the date as soon as its line is complete. Nothing is to be read after that.
    ///
    /// # Errors
    /// It will not tell the time.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Option<UnixTime>, HeaderError> {
        for byte in bytes {
            if self.length == HEADER_LENGTH_MAX {
                return Err(HeaderError::TooLong);
            }
            self.length += 1;
            if *byte != b'\n' {
                self.line.push(*byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            if !std::mem::replace(&mut self.is_begun, true) {
                if !line.starts_with(b"HTTP/1.") {
                    return Err(HeaderError::NotHttp);
                }
            } else if line.is_empty() {
                return Err(HeaderError::NoDate);
            } else if let Some(value) = value_of(line, b"date") {
                let date = std::str::from_utf8(value).ok().and_then(imf_fixdate);
                return date.map(Some).ok_or(HeaderError::UnsupportedDate);
            }
        }
        Ok(None)
    }
}

/// The longest head of a request that is read, bytes.
pub const REQUEST_LENGTH_MAX: usize = 4096;

/// What a request asks for. What stands behind its first line changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// It wants to read, and not to change, what it asks for.
    pub is_get: bool,
    /// The path, without the query behind it.
    pub path: Vec<u8>,
}

/// A head of a request has more than [`REQUEST_LENGTH_MAX`] bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestTooLong;

/// The head of a request that comes in pieces.
#[derive(Debug, Default)]
pub struct RequestReader {
    /// The line that has begun.
    line: Vec<u8>,
    /// How many bytes there were.
    length: usize,
    request: Option<Request>,
}

impl RequestReader {
    /// Takes the next bytes; returns the request when its head has ended. Nothing is to be read after that.
    ///
    /// # Errors
    /// The head does not end where it has to.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Option<Request>, RequestTooLong> {
        for byte in bytes {
            if self.length == REQUEST_LENGTH_MAX {
                return Err(RequestTooLong);
            }
            self.length += 1;
            if *byte != b'\n' {
                self.line.push(*byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            match (&self.request, line) {
                (Some(_), []) => return Ok(self.request.take()),
                // Empty lines before the first are not looked at (RFC 9112 §2.2).
                (Some(_), _) | (None, []) => {}
                (None, _) => self.request = Some(Request::of_line(line)),
            }
        }
        Ok(None)
    }
}

impl Request {
    fn of_line(line: &[u8]) -> Self {
        let mut words = line.split(|byte| *byte == b' ');
        let is_get = words.next() == Some(b"GET");
        let target = words.next().unwrap_or_default();
        let path = target
            .split(|byte| *byte == b'?')
            .next()
            .unwrap_or_default()
            .to_vec();
        Self { is_get, path }
    }
}

/// Returns the value of a line's field, without white space around it, if it is the one with this name in small
/// letters.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (field, value) = line.split_at(colon);
    let value = value.get(1..).unwrap_or_default();
    field.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

/// Returns the instant of an IMF-fixdate, the one format in which dates are sent: `Sun, 06 Nov 1994 08:49:37 GMT`
/// (RFC 9110 §5.6.7). The weekday is not compared with the date.
pub fn imf_fixdate(text: &str) -> Option<UnixTime> {
    const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (weekday, rest) = text.split_once(", ")?;
    let words: Vec<&str> = rest.split(' ').collect();
    let [day, month, year, time, "GMT"] = words[..] else {
        return None;
    };
    let times: Vec<&str> = time.split(':').collect();
    let [hour, minute, second] = times[..] else {
        return None;
    };
    if !WEEKDAYS.contains(&weekday) {
        return None;
    }
    let month = (1..).zip(MONTHS).find(|(_, name)| *name == month)?.0;
    let date = (number(year, 4)?, month, number(day, 2)?);
    UnixTime::from_date_time(date, (number(hour, 2)?, number(minute, 2)?, number(second, 2)?))
}

/// Returns the number that so many digits are.
fn number(digits: &str, count: usize) -> Option<i64> {
    let is_number = digits.len() == count && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOVEMBER_1994: i64 = 784_111_777;

    fn read_all(bytes: &[u8]) -> Result<Option<i64>, HeaderError> {
        let mut reader = HeaderReader::default();
        reader.read(bytes).map(|date| date.map(UnixTime::seconds))
    }

    #[test]
    fn the_first_date_of_a_header_tells_the_time_whatever_the_answer_is() {
        for header in [
            "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
            "HTTP/1.0 301 Moved\r\nLocation: http://a/\r\ndate:Sun, 06 Nov 1994 08:49:37 GMT \r\n\r\n",
            "HTTP/1.1 503\nX-Date: 1\nDATE:\t Sun, 06 Nov 1994 08:49:37 GMT\nDate: Mon, 07 Nov 1994 08:49:37 GMT\n",
        ] {
            assert_eq!(read_all(header.as_bytes()), Ok(Some(NOVEMBER_1994)), "{header}");
        }
    }

    #[test]
    fn a_header_that_does_not_tell_the_time_says_why() {
        for (header, error) in [
            ("SSH-2.0-x\r\n", HeaderError::NotHttp),
            ("\r\n", HeaderError::NotHttp),
            ("HTTP/2 200\r\n", HeaderError::NotHttp),
            (
                "HTTP/1.1 200 OK\r\nServer: x\r\n\r\nDate: in the body",
                HeaderError::NoDate,
            ),
            (
                "HTTP/1.1 200 OK\r\nDate: Sunday, 06-Nov-94 08:49:37 GMT\r\n",
                HeaderError::UnsupportedDate,
            ),
            (
                "HTTP/1.1 200 OK\r\nDate: Sun Nov  6 08:49:37 1994\r\n",
                HeaderError::UnsupportedDate,
            ),
            (
                "HTTP/1.1 200 OK\r\nDate: \u{e9}\r\n",
                HeaderError::UnsupportedDate,
            ),
            ("HTTP/1.1 200 OK\r\nDate:\r\n", HeaderError::UnsupportedDate),
        ] {
            assert_eq!(read_all(header.as_bytes()), Err(error), "{header}");
        }
        assert_eq!(
            read_all(b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT"),
            Ok(None)
        );
        let long = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(HEADER_LENGTH_MAX));
        assert_eq!(read_all(long.as_bytes()), Err(HeaderError::TooLong));
        assert_eq!(read_all(&long.as_bytes()[..HEADER_LENGTH_MAX]), Ok(None));
    }

    #[test]
    fn only_one_format_of_dates_is_read() {
        assert_eq!(
            imf_fixdate("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(UnixTime::from_seconds(NOVEMBER_1994))
        );
        for text in [
            "",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 +0000",
            "Sun, 06 Nov 1994 08:49:37 GMT ",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, +6 Nov 1994 08:49:37 GMT",
            "So, 06 Nov 1994 08:49:37 GMT",
            "06 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(imf_fixdate(text), None, "{text}");
        }
    }

    #[test]
    fn a_request_asks_for_the_header_alone() {
        assert_eq!(
            head_request("a:8443", "/b"),
            "HEAD /b HTTP/1.1\r\nHost: a:8443\r\nUser-Agent: timeballd\r\nConnection: close\r\n\r\n"
        );
    }

    proptest! {
        #[test]
        fn a_header_says_the_same_in_whatever_pieces_it_comes(
            fields in "([A-Z][a-z]{1,8}: [ -~]{0,20}\r?\n){0,5}", cut in 1_usize..40
        ) {
            let header = format!("HTTP/1.1 200 OK\r\n{fields}Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n");
            let mut reader = HeaderReader::default();
            let pieces = header.as_bytes().chunks(cut).map(|piece| reader.read(piece));
            let end = pieces.into_iter().find(|read| *read != Ok(None));
            prop_assert_eq!(end, Some(read_all(header.as_bytes()).map(|date| date.map(UnixTime::from_seconds))));
        }
    }

    fn requested(bytes: &[u8]) -> Result<Option<(bool, String)>, RequestTooLong> {
        let request = RequestReader::default().read(bytes)?;
        Ok(request.map(|request| {
            (
                request.is_get,
                String::from_utf8_lossy(&request.path).into_owned(),
            )
        }))
    }

    #[test]
    fn a_request_is_known_when_its_head_has_ended() {
        for (head, is_get, path) in [
            ("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", true, "/metrics"),
            ("GET /metrics?name[]=x HTTP/1.0\n\n", true, "/metrics"),
            ("\r\n\nGET / HTTP/1.1\r\n\r\n", true, "/"),
            ("POST /metrics HTTP/1.1\r\n\r\n", false, "/metrics"),
            ("get  /\r\n\r\n", false, ""),
            ("GET\n\n", true, ""),
        ] {
            let asked = Ok(Some((is_get, path.to_owned())));
            assert_eq!(requested(head.as_bytes()), asked, "{head:?}");
            let cut = head.len() - 1;
            assert_eq!(requested(&head.as_bytes()[..cut]), Ok(None), "{head:?}");
        }
    }

    #[test]
    fn a_head_of_a_request_has_an_end() {
        let padded = |length: usize| {
            let mut head = b"GET / HTTP/1.1\r\nX: ".to_vec();
            head.resize(length - 4, b'x');
            head.extend(b"\r\n\r\n");
            head
        };
        assert!(requested(&padded(REQUEST_LENGTH_MAX)).is_ok_and(|request| request.is_some()));
        assert_eq!(requested(&padded(REQUEST_LENGTH_MAX + 1)), Err(RequestTooLong));
    }
}
