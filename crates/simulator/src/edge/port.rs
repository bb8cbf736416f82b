//! A server's port: listening while the server is up, closed but kept while it is down.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::Stream;
use tonic::transport::Server;

use super::door::Door;
use super::gate::{Gate, GatedStream};
use super::service::{Kind, Methods, Process};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

/// A loopback port. The number stays ours while nothing listens: the socket is bound, and connecting to it is refused.
#[derive(Debug)]
pub struct Port {
    address: SocketAddr,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Bound, so that nobody else gets the number.
    Closed(TcpSocket),
    Open(Listening),
    /// In between, or after a failure to bind again.
    Lost,
}

#[derive(Debug)]
struct Listening {
    serving: JoinHandle<()>,
    gates: Gates,
    /// Ends when the last connection is gone.
    drained: mpsc::Receiver<()>,
}

type Gates = Arc<Mutex<Vec<Gate>>>;

impl Port {
    /// Takes any free loopback port, closed.
    ///
    /// # Errors
    /// When no port can be bound.
    pub fn reserve() -> io::Result<Self> {
        let socket = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        Ok(Self { address: socket.local_addr()?, state: State::Closed(socket) })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether somebody listens.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    fn listener(&mut self) -> io::Result<Option<TcpListener>> {
        let socket = match std::mem::replace(&mut self.state, State::Lost) {
            State::Closed(socket) => socket,
            State::Lost => bind(self.address)?,
            open @ State::Open(_) => {
                self.state = open;
                return Ok(None);
            }
        };
        socket.listen(BACKLOG).map(Some)
    }

    /// Opens the port for a server of that kind. An open port stays as it is.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub fn open(&mut self, kind: Kind, process: Process) -> io::Result<()> {
        let Some(listener) = self.listener()? else { return Ok(()) };
        let address = self.address.to_string();
        let (incoming, gates, drained) = Incoming::new(listener);
        let serving = tokio::spawn(serve(Door::new(Methods::new(process, kind), address), incoming));
        self.state = State::Open(Listening { serving, gates, drained });
        Ok(())
    }

    /// Closes the port and every connection through it, as a killed process does. The number stays ours.
    ///
    /// # Errors
    /// When the port cannot be bound again; a later opening tries once more.
    pub async fn close(&mut self) -> io::Result<()> {
        if let State::Open(listening) = std::mem::replace(&mut self.state, State::Lost) {
            listening.end().await;
        }
        if matches!(self.state, State::Lost) {
            self.state = State::Closed(bind(self.address)?);
        }
        Ok(())
    }

    /// Closes everything and gives the number back.
    pub async fn release(mut self) {
        if let State::Open(listening) = std::mem::replace(&mut self.state, State::Lost) {
            listening.end().await;
        }
    }
}

impl Listening {
    async fn end(mut self) {
        self.serving.abort();
        let _aborted = (&mut self.serving).await;
        for gate in self.gates.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            gate.cut();
        }
        while self.drained.recv().await.is_some() {}
    }
}

async fn serve(door: Door, incoming: Incoming) {
    if let Err(error) = Server::builder().serve_with_incoming(door, incoming).await {
        tracing::warn!(%error, "a sandbox server stopped serving");
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// The connections that come in, each behind a gate.
struct Incoming {
    listener: TcpListener,
    gates: Gates,
    open: mpsc::Sender<()>,
}

impl Incoming {
    fn new(listener: TcpListener) -> (Self, Gates, mpsc::Receiver<()>) {
        let gates = Gates::default();
        let (open, drained) = mpsc::channel(1);
        (Self { listener, gates: gates.clone(), open }, gates, drained)
    }
}

impl Stream for Incoming {
    type Item = io::Result<GatedStream>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Poll::Ready(accepted) = self.listener.poll_accept(cx) else { return Poll::Pending };
        Poll::Ready(Some(accepted.map(|(socket, _)| {
            // Answers are small and awaited: without this, some wait 40 ms for an acknowledgement.
            let _best_effort = socket.set_nodelay(true);
            let gate = Gate::default();
            let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
            gates.retain(Gate::is_used);
            gates.push(gate.clone());
            GatedStream::new(socket, gate, self.open.clone())
        })))
    }
}
