//! The head of a request over HTTP: in whatever pieces it comes it says the same, and it is not longer than it may be.

use wire::http::{REQUEST_LENGTH_MAX, Request, RequestReader, RequestTooLong};

use crate::bytes::Bytes;
use crate::{Target, words_of};

pub(crate) const TARGET: Target = Target {
    name: "scrape",
    check,
    seeds,
    words: || {
        words_of(&[
            "GET ",
            "POST ",
            "/metrics",
            " HTTP/1.1\r\n",
            "Host: ",
            "\r\n\r\n",
            "\n\n",
            "?",
        ])
    },
};

/// A byte says how long the pieces are, and one how often the rest is repeated; the rest is the head.
fn check(bytes: &[u8]) {
    let mut bytes = Bytes::new(bytes);
    let length = usize::from(bytes.u8()).max(1);
    let times = usize::from(bytes.u8() & 15) + 1;
    let head = bytes.rest().repeat(times);
    let whole = read(&[&head]);
    let pieces: Vec<&[u8]> = head.chunks(length).collect();
    assert_eq!(read(&pieces), whole);
    let has_end = |head: &[u8]| {
        let lines: Vec<&[u8]> = head.split(|byte| *byte == b'\n').collect();
        let is_empty = |line: &&[u8]| line.is_empty() || *line == b"\r";
        // What stands behind the last line end is no line yet.
        let lines = lines.split_last().map_or([].as_slice(), |(_, lines)| lines);
        lines.iter().skip_while(|line| is_empty(line)).any(is_empty)
    };
    let begin = head.get(..REQUEST_LENGTH_MAX).unwrap_or(&head);
    match whole {
        Ok(Some(request)) => {
            assert!(has_end(begin));
            assert!(!request.path.contains(&b' ') && !request.path.contains(&b'?'));
            assert!(!request.is_get || head.windows(3).any(|word| word == b"GET"));
            assert!(request.path.is_empty() || holds(&head, &request.path));
        }
        Ok(None) => assert!(!has_end(begin) && head.len() <= REQUEST_LENGTH_MAX),
        Err(RequestTooLong) => assert!(!has_end(begin) && head.len() > REQUEST_LENGTH_MAX),
    }
}

fn holds(head: &[u8], path: &[u8]) -> bool {
    head.windows(path.len()).any(|part| part == path)
}

/// Reads until there is something to say.
fn read(pieces: &[&[u8]]) -> Result<Option<Request>, RequestTooLong> {
    let mut reader = RequestReader::default();
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
        "\u{7f}\0GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:9123\r\nUser-Agent: Prometheus/2.45\r\n\r\n",
        "\u{1}\0GET /metrics?name[]=a&b HTTP/1.0\n\n",
        "\u{8}\0\r\n\nPOST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd",
        "\u{20}\u{f}GET /metrics HTTP/1.1\r\nX: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
         xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
         xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n",
    ])
}
