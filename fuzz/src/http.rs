//! The header of an answer over HTTP: in whatever pieces it comes it says the same, and a date that is read is one that
//! can be written.

use units::UnixTime;
use wire::http::{HEADER_LENGTH_MAX, HeaderError, HeaderReader};

use crate::bytes::Bytes;
use crate::{Target, words_of};

pub(crate) const TARGET: Target = Target {
    name: "http",
    check,
    seeds,
    words: || {
        words_of(&[
            "HTTP/1.1 200 OK\r\n",
            "Date: ",
            "date:",
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Mon, ",
            " Feb ",
            " 29 ",
            " GMT",
            "\r\n\r\n",
            "\n",
        ])
    },
};

/// From year 1 to 9999.
const WRITTEN: std::ops::Range<i64> = -62_135_596_800..253_402_300_801;

/// One byte says how long the pieces are, the others are the header.
fn check(bytes: &[u8]) {
    let mut bytes = Bytes::new(bytes);
    let length = usize::from(bytes.u8()).max(1);
    let header = bytes.rest();
    let whole = read(&[header]);
    let pieces: Vec<&[u8]> = header.chunks(length).collect();
    assert_eq!(read(&pieces), whole);
    match whole {
        Ok(Some(date)) => {
            assert!(WRITTEN.contains(&date.seconds()) && date.nanos() == 0, "{date:?}");
            assert!(header.windows(4).any(|word| word.eq_ignore_ascii_case(b"date")));
        }
        Ok(None) => assert!(header.len() <= HEADER_LENGTH_MAX),
        Err(error) => assert!(error != HeaderError::TooLong || header.len() > HEADER_LENGTH_MAX),
    }
}

/// Reads until there is something to say.
fn read(pieces: &[&[u8]]) -> Result<Option<UnixTime>, HeaderError> {
    let mut reader = HeaderReader::default();
    for piece in pieces {
        let read = reader.read(piece);
        if read != Ok(None) {
            return read;
        }
    }
    Ok(None)
}

fn seeds() -> Vec<Vec<u8>> {
    words_of(&[
        "\u{7f}HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n",
        "\u{1}HTTP/1.0 301 Moved\nLocation: https://a/\ndate:Thu, 29 Feb 2024 23:59:60 GMT \n\n",
        "\u{8}HTTP/1.1 200 OK\r\nServer: x\r\n\r\n",
        "\u{8}HTTP/1.1 200 OK\r\nDate: Sunday, 06-Nov-94 08:49:37 GMT\r\n",
        "\u{20}HTTP/1.1 200 OK\r\nDate: Fri, 31 Dec 9999 23:59:60 GMT\r\n",
    ])
}
