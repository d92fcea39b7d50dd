//! Clients that name the socket's path as `:authority`, frame by frame: gRPC's C core and others do, and h2's client, which
//! the other tests have, cannot. Source: RFC 9113, RFC 7541.

use csi::Listener;
use csi::v1::GetPluginInfoResponse;
use prost::Message as _;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use crate::driver::Driver;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

/// HPACK's `:authority`, with its index in the static table, to be kept in the dynamic one; the value follows.
const KEPT: u8 = 0x41;
/// The entry of the dynamic table that was added last.
const LATEST: u8 = 0x80 | 62;

fn frame(kind: u8, flags: u8, stream: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[0, length[0], length[1], kind, flags, 0, 0, 0, stream], content].concat()
}

fn text(value: &str) -> Vec<u8> {
    [&[u8::try_from(value.len()).unwrap()], value.as_bytes()].concat()
}

fn literal(name: &str, value: &str) -> Vec<u8> {
    [vec![0], text(name), text(value)].concat()
}

/// The head of a GetPluginInfo with this form of an authority.
fn head(authority: &[u8]) -> Vec<u8> {
    // `:method POST` and `:scheme http` are in the static table.
    let begin = [&[0x83, 0x86][..], authority].concat();
    let path = literal(":path", "/csi.v1.Identity/GetPluginInfo");
    let rest = [
        literal("content-type", "application/grpc"),
        literal("te", "trailers"),
    ]
    .concat();
    [begin, path, rest].concat()
}

/// The empty message.
fn message(stream: u8) -> Vec<u8> {
    frame(DATA, END_STREAM, stream, &[0; 5])
}

fn call(stream: u8, authority: &[u8]) -> Vec<u8> {
    [
        frame(HEADERS, END_HEADERS, stream, &head(authority)),
        message(stream),
    ]
    .concat()
}

/// A connection that has sent its preface.
async fn connected(path: &std::path::Path) -> UnixStream {
    let mut stream = UnixStream::connect(path).await.unwrap();
    let begin = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(SETTINGS, 0, 0, &[]),
    ]
    .concat();
    stream.write_all(&begin).await.unwrap();
    stream
}

/// The name that a call is answered with; the error code of a stream that is reset.
async fn answer(stream: &mut UnixStream, of: u8) -> Result<String, u32> {
    loop {
        let mut begin = [0; 9];
        stream.read_exact(&mut begin).await.unwrap();
        let length = u32::from_be_bytes([0, begin[0], begin[1], begin[2]]);
        let mut content = vec![0; length.try_into().unwrap()];
        stream.read_exact(&mut content).await.unwrap();
        match (begin[3], begin[8]) {
            (DATA, stream) if stream == of => {
                return Ok(GetPluginInfoResponse::decode(&content[5..]).unwrap().name);
            }
            (RST_STREAM, stream) if stream == of => {
                return Err(u32::from_be_bytes(content.try_into().unwrap()));
            }
            _ => {}
        }
    }
}

struct Served {
    path: std::path::PathBuf,
    stopping: CancellationToken,
    _folder: TempDir,
}

async fn served() -> Served {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("csi.sock");
    let listener = Listener::bind(&csi::Address::Unix(path.clone())).await.unwrap();
    let stopping = CancellationToken::new();
    tokio::spawn(listener.serve(Driver::named("a.driver").routes(), stopping.clone()));
    Served {
        path,
        stopping,
        _folder: folder,
    }
}

/// The forms of an authority: what it is, and its bytes.
fn forms() -> Vec<(&'static str, Vec<u8>)> {
    // "/tmp/csi.sock" and "%2Ftmp%2Fcsi.sock" in Huffman's code.
    let path = [0x61, 0x34, 0xd6, 0xc1, 0x10, 0x65, 0xd0, 0x72, 0x75];
    let encoded = [
        0x54, 0x58, 0x53, 0x4d, 0x6a, 0x8b, 0x09, 0x10, 0x65, 0xd0, 0x72, 0x75,
    ];
    vec![
        ("a host", [vec![KEPT], text("localhost")].concat()),
        ("a host and a port", [vec![KEPT], text("[::1]:80")].concat()),
        ("none", vec![]),
        ("a path", [vec![KEPT], text("/var/lib/csi.sock")].concat()),
        (
            "a path as the C core has it",
            [vec![KEPT], text("var%2Flib%2Fcsi.sock")].concat(),
        ),
        (
            "a name that is spelled",
            [vec![0x40], text(":authority"), text("%2Fcsi.sock")].concat(),
        ),
        (
            "a path that is not kept",
            [vec![0x01], text("/csi.sock")].concat(),
        ),
        (
            "a path that is never kept",
            [vec![0x11], text("/csi.sock")].concat(),
        ),
        (
            "a long path",
            [vec![KEPT, 0x7f, 0x81, 0x01], vec![b'/'; 256]].concat(),
        ),
        ("Huffman's code", [vec![KEPT, 0x89], path.to_vec()].concat()),
        (
            "Huffman's code of the C core's",
            [vec![KEPT, 0x8c], encoded.to_vec()].concat(),
        ),
    ]
}

#[tokio::test]
async fn ebs_case_136_a_path_as_the_authority_is_taken() {
    let served = served().await;
    for (what, form) in forms() {
        let mut stream = connected(&served.path).await;
        stream.write_all(&call(1, &form)).await.unwrap();
        assert_eq!(answer(&mut stream, 1).await, Ok("a.driver".to_owned()), "{what}");
        if form.first().is_some_and(|first| first & 0x40 != 0) {
            // The client kept it, and says no more than where.
            stream.write_all(&call(3, &[LATEST])).await.unwrap();
            assert_eq!(
                answer(&mut stream, 3).await,
                Ok("a.driver".to_owned()),
                "{what}, again"
            );
        }
    }
    // What no client sends is refused as before.
    let mut stream = connected(&served.path).await;
    stream.write_all(&call(1, &[KEPT, 1, b'\\'])).await.unwrap();
    assert_eq!(answer(&mut stream, 1).await, Err(1));
    served.stopping.cancel();
}

/// However the bytes come, and with whatever HTTP/2 allows around them.
#[tokio::test]
async fn ebs_case_136_a_path_as_the_authority_is_taken_in_pieces() {
    let served = served().await;
    let block = head(&[vec![KEPT], text("/var/lib/csi.sock")].concat());
    let (first, others) = block.split_at(7);
    let (second, third) = others.split_at(9);
    let padded = [&[3, 0, 0, 0, 0, 15][..], first, &[0; 3]].concat();
    let in_frames = [
        frame(HEADERS, PADDED | PRIORITY, 1, &padded),
        frame(CONTINUATION, 0, 1, second),
        frame(CONTINUATION, END_HEADERS, 1, third),
        message(1),
    ]
    .concat();
    let whole_and_padded = [&[9][..], &block, &[0; 9]].concat();
    let padded = [
        frame(HEADERS, PADDED | END_HEADERS, 1, &whole_and_padded),
        message(1),
    ]
    .concat();
    for bytes in [in_frames, padded] {
        for step in [1, bytes.len()] {
            let mut stream = connected(&served.path).await;
            for piece in bytes.chunks(step) {
                stream.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            assert_eq!(
                answer(&mut stream, 1).await,
                Ok("a.driver".to_owned()),
                "{step} bytes at a time"
            );
        }
    }
    served.stopping.cancel();
}
