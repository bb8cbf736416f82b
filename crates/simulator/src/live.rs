//! A world whose clock runs.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use tokio::sync::{Notify, watch};

use super::clock::{Clock, TimeScale};
use super::fault::ToolFate;
use super::{Millis, World};
use openmldb_model::Endpoint;

/// A world on a running clock, shared by everything that talks to it. The world is pure and only moves when somebody
/// looks: every access first brings it up to now.
#[derive(Debug)]
pub struct Live {
    world: Mutex<World>,
    holds: Mutex<Option<Condition>>,
    /// What was asked of servers that stand still, in order.
    asked: Mutex<Vec<Asked>>,
    clock: watch::Sender<Clock>,
    touched: Notify,
    tool: watch::Sender<Option<ToolFate>>,
}

/// When the clock is held.
struct Condition(Box<dyn Fn(&World) -> bool + Send>);

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Condition")
    }
}

/// A call to a server that stands still.
struct Asked {
    server: Endpoint,
    call: Box<dyn FnOnce(&mut World) + Send>,
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Asked of {}", self.server)
    }
}

impl Live {
    /// Starts the clock, at the time the world has reached.
    pub fn new(world: World, scale: TimeScale) -> Self {
        let clock = watch::Sender::new(Clock::starting_at(world.now(), scale));
        Self {
            world: Mutex::new(world),
            holds: Mutex::default(),
            asked: Mutex::default(),
            clock,
            touched: Notify::new(),
            tool: watch::Sender::new(None),
        }
    }

    /// Holds the clock: calls are answered, and what takes time stays under way until [`Live::release`].
    pub fn hold(&self) {
        self.look(|world| self.hold_at(world.now()));
    }

    fn hold_at(&self, at: Millis) {
        self.clock.send_modify(|clock| *clock = clock.held_at(at));
    }

    /// Holds the clock as soon as something is so, at the moment it is: what is under way then stays under way, however fast
    /// or slow the machine is.
    pub fn hold_once(&self, condition: impl Fn(&World) -> bool + Send + 'static) {
        *self.holds.lock().unwrap_or_else(PoisonError::into_inner) = Some(Condition(Box::new(condition)));
    }

    /// Whether the clock is held.
    pub fn is_held(&self) -> bool {
        self.clock.borrow().is_held()
    }

    /// Lets a clock that is held run on, and one that waits to be held.
    pub fn release(&self) {
        *self.holds.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.clock.send_modify(|clock| *clock = clock.running());
    }

    /// Brings the world up to now and works on it. Whoever waits in [`Live::next_change`] looks again.
    pub fn with<R>(&self, work: impl FnOnce(&mut World) -> R) -> R {
        let result = self.look(work);
        self.touched.notify_one();
        result
    }

    /// As [`Live::with`], for those that change nothing the driver would have to know.
    pub fn look<R>(&self, work: impl FnOnce(&mut World) -> R) -> R {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.advance_to(self.now());
        self.answer_those_that_waited(&mut world);
        let result = work(&mut world);
        self.answer_those_that_waited(&mut world);
        let mut holds = self.holds.lock().unwrap_or_else(PoisonError::into_inner);
        if holds.as_ref().is_some_and(|condition| (condition.0)(&world)) {
            *holds = None;
            // And not what the clock says by now: nothing happens in between.
            self.hold_at(world.now());
        }
        result
    }

    /// The world's time.
    pub fn now(&self) -> Millis {
        self.clock.borrow().now()
    }

    /// What befalls the tool: for whoever runs it in this process, and can kill it.
    pub fn tool_fate(&self) -> watch::Receiver<Option<ToolFate>> {
        self.tool.subscribe()
    }

    /// Says what befalls the tool. Nothing more befalls one that is killed.
    pub(super) fn tell_tool(&self, fate: ToolFate) {
        let is_killed = |told: &ToolFate| matches!(told, ToolFate::KilledBefore | ToolFate::KilledAfter);
        self.tool.send_if_modified(|told| {
            let changes = !told.as_ref().is_some_and(is_killed);
            if changes {
                *told = Some(fate);
            }
            changes
        });
    }

    /// Waits for so many milliseconds of the world's time.
    pub(super) async fn pass(&self, millis: Millis) {
        self.reached(self.now().saturating_add(millis)).await;
    }

    /// Waits until the world's time is that, however often the clock is held meanwhile.
    async fn reached(&self, at: Millis) {
        let mut changes = self.clock.subscribe();
        loop {
            let instant = changes.borrow_and_update().instant_of(at);
            let due = async {
                match instant {
                    Some(instant) => tokio::time::sleep_until(instant).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => return,
                // Its sender is this.
                _ = changes.changed() => {}
            }
        }
    }

    /// Makes a call once a server that stands still goes on, or is no more: after those that came before it, and before any that comes
    /// later.
    pub(super) fn once_it_goes_on(&self, server: Endpoint, call: impl FnOnce(&mut World) + Send + 'static) {
        let asked = Asked { server, call: Box::new(call) };
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
    }

    fn answer_those_that_waited(&self, world: &mut World) {
        let mut waiting = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let (still, goes_on): (Vec<Asked>, Vec<Asked>) =
            std::mem::take(&mut *waiting).into_iter().partition(|asked| world.is_frozen(&asked.server));
        *waiting = still;
        drop(waiting);
        if !goes_on.is_empty() {
            self.touched.notify_one();
        }
        goes_on.into_iter().for_each(|asked| (asked.call)(world));
    }

    /// Waits until the world's next event is due, or somebody worked on the world.
    pub async fn next_change(&self) {
        let next = self.look(|world| world.next_event());
        match next {
            Some(at) => {
                tokio::select! {
                    () = self.reached(at) => {}
                    () = self.touched.notified() => {}
                }
            }
            None => self.touched.notified().await,
        }
    }
}
