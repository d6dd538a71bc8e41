//! Reading a response: pure functions over the bytes that have arrived so far.

use super::summary::Failure;

/// Most headers a response may have; `httparse` needs room for them on the stack.
const HEADERS_MAX: usize = 64;

/// Longest head, chunk line or trailers. Each is read from its start again when more has come, which must stay cheap.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Longest head and body together. Without it a server that never ends would fill the client's memory.
pub(super) const RESPONSE_BYTES_MAX: usize = 16 << 20;

/// What the head of a response says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub status: u16,
    pub body: Body,
    /// Whether the connection may carry another request.
    pub keep_alive: bool,
    /// `Retry-After` in seconds; the form with a date is not read.
    pub retry_after_s: Option<u32>,
    /// Bytes of the head, the empty line included.
    pub bytes: usize,
}

/// How the end of the body is told (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Length(usize),
    Chunked,
    UntilClose,
}

/// Reads the head at the start of `bytes`; `None` while it is not whole.
pub(super) fn head(bytes: &[u8], head_only: bool) -> Result<Option<Head>, Failure> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return partial(bytes),
        Err(_) => return Err(Failure::Garbled),
    };
    let status = response.code.filter(|code| *code >= 100).ok_or(Failure::Garbled)?;
    let mut head = Head {
        status,
        body: Body::UntilClose,
        keep_alive: response.version == Some(1),
        retry_after_s: None,
        bytes: length,
    };
    let mut content_length = None;
    let mut chunked = false;
    for header in response.headers.iter() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            let told = number(header.value).ok_or(Failure::Garbled)?;
            if content_length.is_some_and(|before| before != told) {
                return Err(Failure::Garbled);
            }
            content_length = Some(told);
        } else if is("transfer-encoding") {
            // Invariant: an encoding that is not undone here is read until the end of the connection, never guessed.
            chunked = header.value.trim_ascii().eq_ignore_ascii_case(b"chunked");
            content_length = None;
            if !chunked {
                head.keep_alive = false;
            }
        } else if is("connection") {
            head.keep_alive = connection(header.value, head.keep_alive);
        } else if is("retry-after") {
            head.retry_after_s = number(header.value).and_then(|seconds| u32::try_from(seconds).ok());
        }
    }
    head.body = match content_length {
        _ if head_only || matches!(status, 100..=199 | 204 | 304) => Body::Length(0),
        _ if chunked => Body::Chunked,
        Some(length) => Body::Length(usize::try_from(length).map_err(|_| Failure::TooLong)?),
        None => Body::UntilClose,
    };
    if head.body == Body::UntilClose {
        head.keep_alive = false;
    }
    Ok(Some(head))
}

/// Where the reading of a chunked body stands; goes on where it stopped when more bytes have come.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    /// Bytes of the chunked form that are done with.
    at: usize,
    last_seen: bool,
}

impl Chunks {
    /// Appends to `body` what can be read of `bytes`, the chunked form from its start. Gives its whole length once the
    /// last chunk and the trailers are there.
    pub(super) fn read(&mut self, bytes: &[u8], body: &mut Vec<u8>) -> Result<Option<usize>, Failure> {
        while !self.last_seen {
            let rest = &bytes[self.at..];
            let (line, size) = match httparse::parse_chunk_size(rest) {
                Ok(httparse::Status::Complete(found)) => found,
                Ok(httparse::Status::Partial) => return partial(rest),
                Err(_) => return Err(Failure::Garbled),
            };
            let size = usize::try_from(size).ok().filter(|size| *size <= RESPONSE_BYTES_MAX).ok_or(Failure::TooLong)?;
            if size == 0 {
                self.at += line;
                self.last_seen = true;
                break;
            }
            let end = line + size;
            if rest.len() < end + 2 {
                return Ok(None);
            }
            if &rest[end..end + 2] != b"\r\n" {
                return Err(Failure::Garbled);
            }
            body.extend_from_slice(&rest[line..end]);
            self.at += end + 2;
        }
        let mut trailers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let rest = &bytes[self.at..];
        match httparse::parse_headers(rest, &mut trailers) {
            Ok(httparse::Status::Complete((length, _))) => Ok(Some(self.at + length)),
            Ok(httparse::Status::Partial) => partial(rest),
            Err(_) => Err(Failure::Garbled),
        }
    }
}

/// More is needed to read on, unless there is far too much already.
fn partial<T>(bytes: &[u8]) -> Result<Option<T>, Failure> {
    if bytes.len() > HEAD_BYTES_MAX { Err(Failure::TooLong) } else { Ok(None) }
}

fn connection(value: &[u8], before: bool) -> bool {
    let mut words = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    match words.find(|word| word.eq_ignore_ascii_case(b"close") || word.eq_ignore_ascii_case(b"keep-alive")) {
        Some(word) => word.eq_ignore_ascii_case(b"keep-alive"),
        None => before,
    }
}

/// Digits only: `str::parse` would take a sign.
fn number(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn an_answer_is_read_alike_however_it_is_cut() {
        let bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nRetry-After: 7\r\n\r\n4;x=y\r\nWiki\r\n00a\r\npedia in\r\n\r\n0\r\nt: 1\r\n\r\n";
        for cut in 0..bytes.len() {
            let mut read = Chunks::default();
            let mut body = Vec::new();
            let mut ended = None;
            for end in [cut, bytes.len()] {
                if let Some(head) = head(&bytes[..end], false).expect("a head") {
                    assert_eq!((head.status, head.body, head.keep_alive), (200, Body::Chunked, true));
                    assert_eq!(head.retry_after_s, Some(7));
                    ended = read.read(&bytes[head.bytes..end], &mut body).expect("chunks");
                }
            }
            assert_eq!((ended, &body[..]), (Some(41), &b"Wikipedia in\r\n"[..]), "cut at {cut}");
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic() {
        let mut random = StdRng::seed_from_u64(7);
        let sound =
            b"HTTP/1.1 200 OK\r\nConnection: x, close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        let mut refused = 0;
        for _ in 0..20_000 {
            let mut bytes = sound.to_vec();
            for _ in 0..random.random_range(1..4) {
                let at = random.random_range(0..bytes.len());
                bytes[at] = random.random();
            }
            match head(&bytes, false) {
                Ok(Some(head)) => {
                    assert!(head.bytes <= bytes.len());
                    let read = Chunks::default().read(&bytes[head.bytes..], &mut Vec::new());
                    refused += usize::from(read.is_err());
                }
                Ok(None) => {}
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 1000, "{refused}");
    }
}
