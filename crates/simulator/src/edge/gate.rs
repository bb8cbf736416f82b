//! A connection that can be cut from outside: how a dying server, or one that refuses credentials, hangs up.
//!
//! A stock HTTP/2 server only ever says goodbye politely. OpenMLDB's closes the socket without a word
//! (docs/openmldb/clients.md#credentials), so the socket itself is wrapped, and whoever holds its [`Gate`] can make every
//! further read and write fail.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tonic::transport::server::Connected;

/// Whether a connection may still be used. Clones share one fate.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<Mutex<Passage>>);

#[derive(Debug, Default)]
struct Passage {
    cut: bool,
    let_in: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Gate {
    fn passage(&self) -> MutexGuard<'_, Passage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connection: both directions fail from now on, and the socket is closed without a reply.
    pub fn cut(&self) {
        let mut passage = self.passage();
        passage.cut = true;
        for waker in [passage.reader.take(), passage.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }

    /// OpenMLDB looks at the credentials of a connection's first request only (docs/openmldb/clients.md#credentials):
    /// whether this connection has shown some, now or before.
    pub fn let_in(&self, has_credentials: bool) -> bool {
        let mut passage = self.passage();
        passage.let_in |= has_credentials;
        passage.let_in
    }

    /// Whether its connection still holds it.
    pub fn is_used(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    fn check_read(&self, cx: &Context<'_>) -> io::Result<()> {
        let mut passage = self.passage();
        passage.reader = Some(cx.waker().clone());
        if passage.cut { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }

    fn check_write(&self, cx: &Context<'_>) -> io::Result<()> {
        let mut passage = self.passage();
        passage.writer = Some(cx.waker().clone());
        if passage.cut { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

/// An accepted socket behind its gate.
#[derive(Debug)]
pub struct GatedStream {
    socket: TcpStream,
    gate: Gate,
    /// Dropped with the socket, so that a server that stops can wait for its last connection.
    _open: mpsc::Sender<()>,
}

impl GatedStream {
    /// Puts `socket` behind `gate`; `open` is held for as long as the socket is.
    pub fn new(socket: TcpStream, gate: Gate, open: mpsc::Sender<()>) -> Self {
        Self { socket, gate, _open: open }
    }
}

impl Connected for GatedStream {
    type ConnectInfo = Gate;

    fn connect_info(&self) -> Gate {
        self.gate.clone()
    }
}

impl AsyncRead for GatedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.gate.check_read(cx)?;
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for GatedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.gate.check_write(cx)?;
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.gate.check_write(cx)?;
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
