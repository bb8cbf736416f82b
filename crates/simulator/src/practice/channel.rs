//! The channel for orders: a loopback port that says first which sandbox it belongs to, so that nobody sends orders to a stranger who
//! has got the port since; then a line of JSON each way, on a connection of its own.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::obey::obey;
use super::{Answer, Order};
use crate::Live;

/// How long whoever listens may take to say who it is.
const GREETED_WITHIN: Duration = Duration::from_secs(5);
/// The longest line.
const LONGEST: u64 = 1 << 20;

/// Where a sandbox takes orders, and what it calls itself there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Door {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its nameserver's address.
    pub sandbox: String,
}

/// A sandbox that takes orders, until this is dropped.
#[derive(Debug)]
pub struct Listening {
    door: Door,
    listening: JoinHandle<()>,
}

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// No sandbox is there, or another one.
    #[error("no sandbox takes orders at {0}")]
    Nobody(SocketAddr),
    /// It was heard, perhaps, and there is no answer.
    #[error("the sandbox at {address} did not answer: {source}")]
    NoAnswer {
        /// Where it listens.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// It says that it cannot be done.
    #[error("the sandbox did not do it: {0}")]
    Refused(String),
}

impl Listening {
    /// Opens the channel of a sandbox on any free loopback port.
    ///
    /// # Errors
    /// No port.
    pub async fn start(live: Arc<Live>, sandbox: String) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let door = Door { address: listener.local_addr()?, sandbox };
        let listening = tokio::spawn(listen(listener, live, greeting(&door.sandbox)));
        Ok(Self { door, listening })
    }

    /// Where.
    pub fn door(&self) -> &Door {
        &self.door
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

fn greeting(sandbox: &str) -> String {
    format!("openmldb-ops sandbox {sandbox}\n")
}

async fn listen(listener: TcpListener, live: Arc<Live>, greeting: String) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (live, greeting) = (live.clone(), greeting.clone());
                tokio::spawn(async move {
                    if let Err(error) = hear(stream, &live, &greeting).await {
                        tracing::debug!(%error, "an order was not heard, or its answer was not");
                    }
                });
            }
            Err(error) => tracing::warn!(%error, "a sandbox hears no orders"),
        }
    }
}

async fn hear(mut stream: TcpStream, live: &Live, greeting: &str) -> io::Result<()> {
    let (reading, mut writing) = stream.split();
    writing.write_all(greeting.as_bytes()).await?;
    let answer = match serde_json::from_str(&line(reading).await?) {
        Ok(order) => obey(live, order).await,
        Err(error) => Answer::Refused { why: format!("it is no order: {error}") },
    };
    let answer = serde_json::to_string(&answer)? + "\n";
    writing.write_all(answer.as_bytes()).await
}

async fn line(stream: impl tokio::io::AsyncRead + Unpin) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(stream.take(LONGEST)).read_line(&mut line).await?;
    match line.ends_with('\n') {
        true => Ok(line),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Whether that sandbox is there. It is told nothing.
pub async fn is_there(door: &Door) -> bool {
    greeted(door).await.is_ok()
}

/// Gives a sandbox an order, and waits until that is done. Nothing is sent unless that sandbox is there.
///
/// # Errors
/// See [`OrderError`].
pub async fn give(door: &Door, order: &Order) -> Result<Answer, OrderError> {
    let address = door.address;
    let mut stream = greeted(door).await?;
    let answered = async {
        let (reading, mut writing) = stream.split();
        writing.write_all((serde_json::to_string(order)? + "\n").as_bytes()).await?;
        Ok::<Answer, io::Error>(serde_json::from_str(&line(reading).await?)?)
    };
    match answered.await.map_err(|source| OrderError::NoAnswer { address, source })? {
        Answer::Refused { why } => Err(OrderError::Refused(why)),
        answer => Ok(answer),
    }
}

/// A connection on which the right sandbox has said that it is there.
async fn greeted(door: &Door) -> Result<TcpStream, OrderError> {
    let nobody = || OrderError::Nobody(door.address);
    let expected = greeting(&door.sandbox);
    let heard = async {
        let mut stream = TcpStream::connect(door.address).await?;
        let mut heard = vec![0; expected.len()];
        stream.read_exact(&mut heard).await?;
        Ok::<_, io::Error>((stream, heard))
    };
    let heard = tokio::time::timeout(GREETED_WITHIN, heard).await.map_err(|_| nobody())?;
    let (stream, heard) = heard.map_err(|_| nobody())?;
    if heard == expected.as_bytes() { Ok(stream) } else { Err(nobody()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::practice::{Server, ServerState, Who};
    use crate::scenario::{Scenario, Shape};
    use crate::{Addresses, TimeScale, World};

    fn live(scenario: Scenario) -> Arc<Live> {
        let world: World = scenario.bring_about(&Shape::default(), &Addresses::recorded(1, 3)).unwrap();
        Arc::new(Live::new(world, TimeScale::default()))
    }

    fn states(answer: Answer) -> Vec<ServerState> {
        let Answer::Servers { servers } = answer else { panic!("{answer:?}") };
        servers.iter().map(|server: &Server| server.state).collect()
    }

    #[tokio::test]
    async fn servers_die_hang_and_come_back_and_clients_notice() {
        let listening = Listening::start(live(Scenario::Healthy), "a".to_owned()).await.unwrap();
        let door = listening.door().clone();
        let tell = async |order: Order| give(&door, &order).await;
        let Answer::Written(all) = tell(Order::Write { rows: 2 }).await.unwrap() else { panic!("no rows") };
        assert_eq!((all.refused, all.acknowledged), (0, 2 * all.partitions));
        let second = || vec![Who::Tablet(2)];
        use ServerState::{Dead, Hanging, Running};
        assert_eq!(
            states(tell(Order::Hang { servers: second() }).await.unwrap()),
            [Running, Hanging, Running, Running]
        );
        let Answer::Written(some) = tell(Order::Write { rows: 1 }).await.unwrap() else { panic!("no rows") };
        assert!(some.partitions_refusing > 0 && some.acknowledged > 0, "{some:?}");
        assert_eq!(states(tell(Order::Start { servers: second() }).await.unwrap()), [Running; 4]);
        assert_eq!(states(tell(Order::Kill { servers: vec![Who::All] }).await.unwrap()), [Dead; 4]);
        assert_eq!(states(tell(Order::Start { servers: vec![Who::All] }).await.unwrap()), [Running; 4]);
        let Answer::Written(none) = tell(Order::Write { rows: 1 }).await.unwrap() else { panic!("no rows") };
        assert_eq!(none.acknowledged, 0, "what was killed has nothing loaded");
    }

    #[tokio::test]
    async fn nobody_else_is_told_anything_and_what_is_not_there_is_named() {
        let listening = Listening::start(live(Scenario::Healthy), "a".to_owned()).await.unwrap();
        let other = Door { sandbox: "b".to_owned(), ..listening.door().clone() };
        let order = Order::Kill { servers: vec![Who::Tablet(9)] };
        assert!(matches!(give(&other, &order).await, Err(OrderError::Nobody(_))));
        let refused = give(listening.door(), &order).await.unwrap_err().to_string();
        assert!(refused.contains("no server tablet9; there are tablet1, tablet2, tablet3, nameserver1"), "{refused}");
        let gone = listening.door().clone();
        drop(listening);
        while !matches!(give(&gone, &order).await, Err(OrderError::Nobody(_))) {
            tokio::task::yield_now().await;
        }
    }
}
