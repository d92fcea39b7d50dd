//! Clients that name the socket's path as `:authority`: gRPC's C core (Python, C++) percent-encodes it, Java's and older Go's
//! clients send it as it is. Go's servers take it; h2 resets the stream, since neither is an authority of a URI, and has no
//! setting for it (hyperium/h2, pull request 487). Nothing here reads the authority, so what is no part of one becomes `-`
//! before h2 sees it: in place, in as many bytes and symbols, so that frames and the table of HPACK stay what the client made.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

/// What a client sends first: RFC 9113 3.4.
const PREFACE: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();
/// RFC 9113 4.1.
const FRAME_HEAD: usize = 9;
const HEADERS: u8 = 0x1;
const CONTINUATION: u8 = 0x9;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// More than this is not held back for one request: from then on the connection is left as it is.
const MAX_HELD: usize = 256 << 10;
const CHUNK: usize = 4096;

/// `:authority` in HPACK's static table, and its spellings where a client spells it: RFC 7541, appendices A and B.
const AUTHORITY: usize = 1;
const SPELLINGS: [(bool, &[u8]); 2] = [
    (false, b":authority"),
    (true, &[0xb8, 0x3b, 0x53, 0x39, 0xec, 0x32, 0x7d, 0x7f]),
];

/// A connection whose requests h2 takes, whatever path they name as their authority.
#[derive(Debug)]
pub(super) struct AnyAuthority<S> {
    stream: S,
    incoming: Incoming,
}

impl<S> AnyAuthority<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            incoming: Incoming::default(),
        }
    }
}

/// What came and is not handed on yet.
#[derive(Debug)]
struct Incoming {
    held: BytesMut,
    /// So many bytes of it may be handed on.
    ready: usize,
    /// So many more are none of a request's head.
    passing: usize,
}

impl Default for Incoming {
    fn default() -> Self {
        Self {
            held: BytesMut::new(),
            ready: 0,
            passing: PREFACE,
        }
    }
}

impl Incoming {
    fn take(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
        loop {
            let waiting = self.held.len() - self.ready;
            let passed = waiting.min(self.passing);
            self.ready += passed;
            self.passing -= passed;
            if self.passing > 0 {
                return;
            }
            match Next::of(&self.held[self.ready..]) {
                Next::Other(bytes) => self.passing = bytes,
                Next::Head { length, fragments } => {
                    change_head(&mut self.held[self.ready..], &fragments);
                    self.passing = length;
                }
                Next::Incomplete if waiting - passed > MAX_HELD => self.passing = usize::MAX,
                Next::Incomplete => return,
            }
        }
    }

    /// The connection has ended: what is half a frame is for h2 to judge.
    fn end(&mut self) {
        self.ready = self.held.len();
    }

    fn hand_on(&mut self, to: &mut ReadBuf<'_>) {
        let count = self.ready.min(to.remaining());
        to.put_slice(&self.held[..count]);
        self.held.advance(count);
        self.ready -= count;
    }
}

/// What comes next, at the beginning of a frame.
enum Next {
    /// So many bytes that carry no head of a request.
    Other(usize),
    /// The frames of a head: so many bytes, and where in them its block is.
    Head {
        length: usize,
        fragments: Vec<Range<usize>>,
    },
    /// More must come first.
    Incomplete,
}

impl Next {
    fn of(bytes: &[u8]) -> Self {
        let mut fragments = Vec::new();
        let mut at = 0;
        loop {
            let Some(&[a, b, c, kind, flags, ..]) = bytes.get(at..at + FRAME_HEAD) else {
                return Self::Incomplete;
            };
            let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            let expected = if fragments.is_empty() {
                HEADERS
            } else {
                CONTINUATION
            };
            if kind != expected {
                // A head that another frame interrupts is an error, which h2 finds.
                return Self::Other(at + FRAME_HEAD + length);
            }
            let payload = at + FRAME_HEAD..at + FRAME_HEAD + length;
            at = payload.end;
            let Some(content) = bytes.get(payload.clone()) else {
                return Self::Incomplete;
            };
            let flags = if kind == HEADERS {
                flags
            } else {
                flags & END_HEADERS
            };
            fragments.push(fragment(content, flags, payload.start));
            if flags & END_HEADERS != 0 {
                return Self::Head {
                    length: at,
                    fragments,
                };
            }
        }
    }
}

/// Where in a frame its part of the block is, without padding and priority; nowhere where the frame has no place for them.
fn fragment(content: &[u8], flags: u8, begin: usize) -> Range<usize> {
    let (mut from, mut to) = (0, content.len());
    if flags & PADDED != 0 {
        from += 1;
        to = to.saturating_sub(content.first().copied().map_or(0, usize::from));
    }
    if flags & PRIORITY != 0 {
        from += 5;
    }
    begin + from.min(to)..begin + to
}

/// Changes the block that lies in these pieces of a head.
fn change_head(head: &mut [u8], fragments: &[Range<usize>]) {
    let mut block: Vec<u8> = fragments
        .iter()
        .flat_map(|piece| &head[piece.clone()])
        .copied()
        .collect();
    // A block that cannot be read is h2's to refuse.
    let _ = change_block(&mut block);
    let mut rest = block.as_slice();
    for piece in fragments {
        let (bytes, others) = rest.split_at(piece.len());
        head[piece.clone()].copy_from_slice(bytes);
        rest = others;
    }
}

/// Changes the authorities of a block of HPACK (RFC 7541, 6); `None` when it cannot be read to its end.
fn change_block(block: &mut [u8]) -> Option<()> {
    let mut at = 0;
    while let Some(&first) = block.get(at) {
        let (bits, is_literal) = match first {
            0x80.. => (7, false),
            0x40.. => (6, true),
            0x20.. => (5, false),
            _ => (4, true),
        };
        let (index, next) = integer(block, at, bits)?;
        at = next;
        if !is_literal {
            continue;
        }
        let mut is_authority = index == AUTHORITY;
        if index == 0 {
            let (is_huffman, name) = string(block, at)?;
            is_authority = SPELLINGS.contains(&(is_huffman, &block[name.clone()]));
            at = name.end;
        }
        let (is_huffman, value) = string(block, at)?;
        at = value.end;
        if is_authority && is_huffman {
            change_huffman(&mut block[value]);
        } else if is_authority {
            change_text(&mut block[value]);
        }
    }
    Some(())
}

/// An integer with a prefix of so many bits, and what comes after it: RFC 7541, 5.1.
fn integer(block: &[u8], at: usize, bits: u32) -> Option<(usize, usize)> {
    let most = (1 << bits) - 1;
    let mut value = usize::from(*block.get(at)?) & most;
    let mut next = at + 1;
    if value < most {
        return Some((value, next));
    }
    for shift in [0, 7, 14, 21] {
        let byte = usize::from(*block.get(next)?);
        next += 1;
        value += (byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value, next));
        }
    }
    None
}

/// Whether a string is Huffman-coded, and where it is: RFC 7541, 5.2.
fn string(block: &[u8], at: usize) -> Option<(bool, Range<usize>)> {
    let is_huffman = block.get(at)? & 0x80 != 0;
    let (length, begin) = integer(block, at, 7)?;
    let range = begin..begin + length;
    (range.end <= block.len()).then_some((is_huffman, range))
}

/// What has a slash or a percent sign is a path: of it stays what may stand in a name.
fn change_text(text: &mut [u8]) {
    if !text.iter().any(|byte| matches!(byte, b'/' | b'%')) {
        return;
    }
    for byte in text {
        if !byte.is_ascii_alphanumeric() && !matches!(byte, b'.' | b'_' | b'~') {
            *byte = b'-';
        }
    }
}

/// The same of Huffman's code, of slashes, percent signs and spaces alone: their codes are as long as that of `-`.
/// What has symbols of more than eight bits, as no usual path has, is left from there on.
fn change_huffman(coded: &mut [u8]) {
    const SPACE: u8 = 0x14;
    const PERCENT: u8 = 0x15;
    const DASH: u8 = 0x16;
    const SLASH: u8 = 0x18;
    let mut bit = 0;
    loop {
        let (index, shift) = (bit / 8, bit % 8);
        let Some(&first) = coded.get(index) else { return };
        // Behind the end are ones, as the padding is.
        let second = coded.get(index + 1).copied().unwrap_or(u8::MAX);
        let window = (u16::from_be_bytes([first, second]) << shift).to_be_bytes()[0];
        // The codes of one length are consecutive, and the shorter are the smaller.
        bit += match window {
            ..0x50 => 5,
            0x50..0xb8 => {
                let code = window >> 2;
                if matches!(code, SPACE | PERCENT | SLASH) {
                    let change = u16::from((code ^ DASH) << 2) << 8 >> shift;
                    let [first, second] = change.to_be_bytes();
                    coded[index] ^= first;
                    if let Some(byte) = coded.get_mut(index + 1) {
                        *byte ^= second;
                    }
                }
                6
            }
            0xb8..0xf8 => 7,
            0xf8..0xfe => 8,
            _ => return,
        };
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for AnyAuthority<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.incoming.ready == 0 {
            let mut chunk = [0; CHUNK];
            let mut read = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                this.incoming.end();
                break;
            }
            this.incoming.take(read.filled());
        }
        this.incoming.hand_on(to);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for AnyAuthority<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl<S: Connected> Connected for AnyAuthority<S> {
    type ConnectInfo = S::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.stream.connect_info()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed_huffman(coded: &[u8]) -> Vec<u8> {
        let mut coded = coded.to_vec();
        change_huffman(&mut coded);
        coded
    }

    #[test]
    fn paths_become_names_of_the_same_length() {
        let changed = |text: &str| {
            let mut text = text.as_bytes().to_vec();
            change_text(&mut text);
            String::from_utf8(text).unwrap()
        };
        assert_eq!(changed("/run/my csi:1/csi.sock"), "-run-my-csi-1-csi.sock");
        assert_eq!(changed("%2Frun%2Fcsi.sock"), "-2Frun-2Fcsi.sock");
        for name in ["localhost", "[::1]:80", "user@host:1", ""] {
            assert_eq!(changed(name), name);
        }
        // "/tmp/csi.sock", "%2Ftmp%2Fcsi.sock", "www.example.com" (RFC 7541, C.4.1).
        assert_eq!(
            changed_huffman(&[0x61, 0x34, 0xd6, 0xc1, 0x10, 0x65, 0xd0, 0x72, 0x75]),
            [0x59, 0x34, 0xd6, 0xb1, 0x10, 0x65, 0xd0, 0x72, 0x75]
        );
        assert_eq!(
            changed_huffman(&[
                0x54, 0x58, 0x53, 0x4d, 0x6a, 0x8b, 0x09, 0x10, 0x65, 0xd0, 0x72, 0x75
            ]),
            [
                0x58, 0x58, 0x53, 0x4d, 0x6b, 0x0b, 0x09, 0x10, 0x65, 0xd0, 0x72, 0x75
            ]
        );
        let name = [
            0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
        ];
        assert_eq!(changed_huffman(&name), name);
    }

    #[test]
    fn what_is_no_http_2_passes_and_nothing_is_lost() {
        let frame = |kind: u8, flags: u8, length: u8| {
            [
                &[0, 0, length, kind, flags, 0, 0, 0, 1][..],
                &vec![0x2f; length.into()],
            ]
            .concat()
        };
        // SETTINGS, padding without room, a head that DATA interrupts, a head, and half a frame.
        let bytes = [
            vec![b'x'; PREFACE],
            frame(4, 0, 6),
            frame(HEADERS, PADDED | END_HEADERS, 0),
            frame(HEADERS, PADDED | PRIORITY | END_HEADERS, 3),
            frame(HEADERS, 0, 2),
            frame(0, 0, 7),
            frame(HEADERS, END_HEADERS, 5),
            vec![0, 0, 9, HEADERS],
        ]
        .concat();
        for step in [1, 7, bytes.len()] {
            let mut incoming = Incoming::default();
            let mut out = Vec::new();
            for part in bytes.chunks(step) {
                incoming.take(part);
                let mut space = [0; 64];
                let mut to = ReadBuf::new(&mut space);
                incoming.hand_on(&mut to);
                out.extend_from_slice(to.filled());
            }
            incoming.end();
            out.extend_from_slice(&incoming.held);
            assert_eq!(out, bytes, "{step} bytes at a time");
        }
    }
}
