//! A way to a server that a test can cut and mend, so that how long it is cut does not depend on how fast anything starts.

use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// Listens on a loopback port and passes everything on to a server.
pub struct Wire {
    address: String,
    state: Arc<Mutex<State>>,
    refused: Arc<Notify>,
}

#[derive(Default)]
struct State {
    is_cut: bool,
    connections: Vec<AbortHandle>,
}

impl Wire {
    pub async fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (state, refused) = (Arc::<Mutex<State>>::default(), Arc::new(Notify::new()));
        let (server, within, refuses) = (server.to_owned(), state.clone(), refused.clone());
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut state = within.lock().unwrap();
                if state.is_cut {
                    refuses.notify_one();
                    continue;
                }
                let server = server.clone();
                let passing = tokio::spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(server).await {
                        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                    }
                });
                state.connections.push(passing.abort_handle());
            }
        });
        Self { address, state, refused }
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        self.address.clone()
    }

    /// Ends every connection; new ones end at once, until somebody has tried.
    pub async fn blinks(&self) {
        self.is_cut();
        self.refused.notified().await;
        self.is_mended();
    }

    /// Ends every connection, and new ones at once.
    pub fn is_cut(&self) {
        let cut = {
            let mut state = self.state.lock().unwrap();
            state.is_cut = true;
            std::mem::take(&mut state.connections)
        };
        assert!(!cut.is_empty(), "nobody is connected");
        cut.iter().for_each(AbortHandle::abort);
    }

    /// Lets everybody through again.
    pub fn is_mended(&self) {
        self.state.lock().unwrap().is_cut = false;
    }
}
