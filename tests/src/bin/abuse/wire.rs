//! HTTP/2 by hand: a client that may do what no library lets it do, such as leave a message half-sent.

use std::{io, time::Duration};

use prost::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const CANCEL: u32 = 8;

/// One connection.
pub(crate) struct Wire {
    stream: TcpStream,
    next: u32,
}

impl Wire {
    /// Connects, and waits until the server has said how much it takes.
    pub(crate) async fn connect(address: &str) -> Result<Self, String> {
        let begin = async {
            let mut stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let mut hello = PREFACE.to_vec();
            hello.extend(frame(SETTINGS, 0, 0, &[]));
            stream.write_all(&hello).await?;
            let mut wire = Self { stream, next: 1 };
            while wire.read().await? != WINDOW_UPDATE {}
            Ok(wire)
        };
        begin
            .await
            .map_err(|error: io::Error| format!("connect to {address} by hand: {error}"))
    }

    /// Writes frames that were made before.
    pub(crate) async fn write(&mut self, frames: &[u8]) -> io::Result<()> {
        self.stream.write_all(frames).await
    }

    /// A whole call.
    pub(crate) fn call(&mut self, method: &str, message: &impl Message) -> Vec<u8> {
        let message = message.encode_to_vec();
        let (id, mut frames) = self.open(method);
        frames.extend(frame(DATA, END_STREAM, id, &grpc(message.len(), &message)));
        frames
    }

    /// A call that says it brings `claimed` bytes and brings `sent` of them so far.
    pub(crate) fn part_of_call(&mut self, method: &str, claimed: usize, sent: usize) -> Vec<u8> {
        let (id, mut frames) = self.open(method);
        frames.extend(frame(DATA, 0, id, &grpc(claimed, &vec![0; sent])));
        frames
    }

    /// A call that is taken back at once.
    pub(crate) fn call_taken_back(&mut self, method: &str) -> Vec<u8> {
        let (id, mut frames) = self.open(method);
        frames.extend(frame(RST_STREAM, 0, id, &CANCEL.to_be_bytes()));
        frames
    }

    /// A whole call that is taken back at once.
    pub(crate) fn whole_call_taken_back(&mut self, method: &str, message: &impl Message) -> Vec<u8> {
        let id = self.next;
        let mut frames = self.call(method, message);
        frames.extend(frame(RST_STREAM, 0, id, &CANCEL.to_be_bytes()));
        frames
    }

    fn open(&mut self, method: &str) -> (u32, Vec<u8>) {
        let id = self.next;
        self.next += 2;
        (id, frame(HEADERS, END_HEADERS, id, &headers(method)))
    }

    /// Says whether the server has told the client to go, or gone itself, waiting at most so long for either.
    pub(crate) async fn is_sent_away(&mut self, wait: Duration) -> bool {
        let sent_away = async {
            loop {
                match self.read().await {
                    Ok(GOAWAY) | Err(_) => return,
                    Ok(_) => {}
                }
            }
        };
        tokio::time::timeout(wait, sent_away).await.is_ok()
    }

    /// Waits until the other side has closed the connection, whatever it says before; answers nothing.
    pub(crate) async fn is_closed(&mut self, wait: Duration) -> bool {
        let closed = async { while self.read().await.is_ok() {} };
        tokio::time::timeout(wait, closed).await.is_ok()
    }

    /// Reads what came, answering pings.
    pub(crate) async fn drain(&mut self) -> io::Result<()> {
        loop {
            let (kind, body) = self.read_frame().await?;
            if kind == PING {
                let answer = frame(PING, 1, 0, &body);
                self.stream.write_all(&answer).await?;
            }
        }
    }

    /// Goes away without a word: the server gets a TCP reset.
    pub(crate) fn cut(self) {
        // What cannot be set leaves an orderly end, which is an end as well.
        let _ = self.stream.set_zero_linger();
    }

    /// Reads a frame and gives its type.
    async fn read(&mut self) -> io::Result<u8> {
        self.read_frame().await.map(|(kind, _)| kind)
    }

    async fn read_frame(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut body = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        self.stream.read_exact(&mut body).await?;
        Ok((head[3], body))
    }
}

fn frame(kind: u8, flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(body);
    frame
}

/// A message as gRPC frames it: not compressed, its length, its bytes or some of them.
fn grpc(length: usize, bytes: &[u8]) -> Vec<u8> {
    let mut framed = vec![0];
    framed.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    framed.extend(bytes);
    framed
}

/// The headers of a call in HPACK, nothing of it compressed.
fn headers(method: &str) -> Vec<u8> {
    // `:method: POST` and `:scheme: http` are in the static table; so are the names of the next three.
    let mut block = vec![0x83, 0x86];
    let path = format!("/temporal.api.workflowservice.v1.WorkflowService/{method}");
    for (name, value) in [
        (&[0x04][..], path.as_str()),
        (&[0x01], "abuse"),
        (&[0x0f, 0x10], "application/grpc"),
    ] {
        block.extend(name);
        text(&mut block, value);
    }
    for (name, value) in [("te", "trailers"), ("grpc-timeout", "70S")] {
        block.push(0);
        text(&mut block, name);
        text(&mut block, value);
    }
    block
}

/// A short string, not Huffman-coded.
fn text(block: &mut Vec<u8>, text: &str) {
    block.push(u8::try_from(text.len()).unwrap_or(0));
    block.extend(text.as_bytes());
}
