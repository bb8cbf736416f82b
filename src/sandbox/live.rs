//! A world whose clock runs.

use std::sync::{Mutex, PoisonError};

use tokio::sync::{Notify, watch};

use super::clock::{Clock, TimeScale};
use super::fault::ToolFate;
use super::{Millis, World};

/// A world on a running clock, shared by everything that talks to it. The world is pure and only moves when somebody
/// looks: every access first brings it up to now.
#[derive(Debug)]
pub struct Live {
    world: Mutex<World>,
    clock: Clock,
    touched: Notify,
    tool: watch::Sender<Option<ToolFate>>,
}

impl Live {
    /// Starts the clock, at the time the world has reached.
    pub fn new(world: World, scale: TimeScale) -> Self {
        let clock = Clock::starting_at(world.now(), scale);
        Self { world: Mutex::new(world), clock, touched: Notify::new(), tool: watch::Sender::new(None) }
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
        world.advance_to(self.clock.now());
        work(&mut world)
    }

    /// The world's time.
    pub fn now(&self) -> Millis {
        self.clock.now()
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
        tokio::time::sleep_until(self.clock.instant_of(self.now().saturating_add(millis))).await;
    }

    /// Waits until the world's next event is due, or somebody worked on the world.
    pub async fn next_change(&self) {
        let next = self.look(|world| world.next_event());
        match next {
            Some(at) => {
                tokio::select! {
                    () = tokio::time::sleep_until(self.clock.instant_of(at)) => {}
                    () = self.touched.notified() => {}
                }
            }
            None => self.touched.notified().await,
        }
    }
}
