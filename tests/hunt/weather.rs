//! What goes wrong on the way to servers: calls lost, answers lost, calls that arrive late.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openmldb_ops::cluster::{CallError, CallErrorKind, Pending, Rpc};
use openmldb_ops::model::Endpoint;
use openmldb_ops::sandbox::InProcess;
use openmldb_ops::wire::call::{NameserverAnswer, NameserverCall, TabletAnswer, TabletCall};

use super::dice::Dice;

/// How bad it is, in so many of a thousand calls each.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    /// The call does not get there, and the caller knows.
    pub unreachable: u64,
    /// The server does it and the connection breaks before the answer.
    pub hung_up: u64,
    /// The call is done only after its deadline has passed.
    pub late: u64,
    /// Milliseconds a call may take on its way, each way.
    pub latency: u64,
}

/// Calls through weather. `before_mutation` is called before every mutating call's effect.
pub struct Stormy {
    inner: InProcess,
    weather: Weather,
    dice: Arc<Mutex<Dice>>,
    before: Before,
}

/// Hears of every mutating call that is about to take effect, by name.
pub type Before = Arc<dyn Fn(&'static str) + Send + Sync>;

/// The deadline of a call that is late.
const DEADLINE: Duration = Duration::from_secs(10);

enum Fate {
    Arrives,
    Unreachable,
    HungUp,
    Late(Duration),
}

impl Stormy {
    /// Calls into a world.
    pub fn new(inner: InProcess, weather: Weather, dice: Dice, before: Before) -> Self {
        Self { inner, weather, dice: Arc::new(Mutex::new(dice)), before }
    }

    fn roll<R>(&self, roll: impl FnOnce(&mut Dice) -> R) -> R {
        roll(&mut self.dice.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn fate(&self) -> Fate {
        let weather = self.weather;
        self.roll(|dice| {
            if dice.per_mille(weather.unreachable) {
                Fate::Unreachable
            } else if dice.per_mille(weather.hung_up) {
                Fate::HungUp
            } else if dice.per_mille(weather.late) {
                Fate::Late(Duration::from_millis(dice.between(0, 15_000)))
            } else {
                Fate::Arrives
            }
        })
    }

    async fn travel(&self) {
        let millis = self.roll(|dice| dice.between(0, self.weather.latency));
        if millis > 0 {
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
    }
}

fn error<T>(server: &str, method: &'static str, kind: CallErrorKind) -> Result<T, CallError> {
    Err(CallError::new(server, method, kind))
}

macro_rules! through_weather {
    ($self:ident, $server:expr, $call:ident, $send:expr) => {{
        let (server, method) = ($server.to_string(), $call.name());
        let mutates = $call.effect() == openmldb_ops::wire::call::Effect::Mutate;
        let before = $self.before.clone();
        let inner = $self.inner.clone();
        let sent = async move {
            if mutates {
                before(method);
            }
            #[allow(clippy::redundant_closure_call)]
            $send(inner, $call).await
        };
        $self.travel().await;
        match $self.fate() {
            Fate::Arrives => {
                let answer = sent.await;
                $self.travel().await;
                answer
            }
            Fate::Unreachable => error(&server, method, CallErrorKind::Unreachable { seen: "bad weather".to_owned() }),
            Fate::HungUp => {
                let _ = sent.await;
                error(&server, method, CallErrorKind::HungUp { seen: "bad weather".to_owned() })
            }
            Fate::Late(by) => {
                tokio::spawn(async move {
                    tokio::time::sleep(by).await;
                    let _ = sent.await;
                });
                tokio::time::sleep(DEADLINE).await;
                error(&server, method, CallErrorKind::DeadlineExceeded { after: DEADLINE })
            }
        }
    }};
}

impl Rpc for Stormy {
    fn nameserver(&self, call: NameserverCall) -> Pending<'_, NameserverAnswer> {
        Box::pin(async move {
            through_weather!(
                self,
                "nameserver",
                call,
                |inner: InProcess, call| async move { inner.nameserver(call).await }
            )
        })
    }

    fn tablet<'a>(&'a self, endpoint: &'a Endpoint, call: TabletCall) -> Pending<'a, TabletAnswer> {
        Box::pin(async move {
            let to = endpoint.clone();
            through_weather!(
                self,
                endpoint,
                call,
                |inner: InProcess, call| async move { inner.tablet(&to, call).await }
            )
        })
    }

    fn find_nameserver(&self) -> Pending<'_, String> {
        self.inner.find_nameserver()
    }

    fn registered_tablets(&self) -> Pending<'_, Option<Vec<Endpoint>>> {
        self.inner.registered_tablets()
    }
}
