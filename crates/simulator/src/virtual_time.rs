//! A world's history with somebody working on it, in virtual time: the clock stands still while anything is done, and jumps
//! when everybody waits.

use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::world::Settings;
use super::{Addresses, Live, TimeScale, World};

/// Runs `work` in that world and gives the world back, with what came of it. Takes a thread of its own: not to be called
/// from asynchronous code.
///
/// # Errors
/// No runtime can be had.
pub fn in_virtual_time<T>(world: World, work: impl AsyncFnOnce(&Arc<Live>) -> T) -> io::Result<(World, T)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    let (live, done) = runtime.block_on(async {
        let live = Arc::new(Live::new(world, TimeScale(NonZeroU32::MIN)));
        let done = work(&live).await;
        (live, done)
    });
    // Moves the world to now before the clock stops.
    let _guard = runtime.enter();
    let empty = World::new(Settings::default(), &Addresses::recorded(1, 1));
    let mut world = live.with(|world| std::mem::replace(world, empty));
    world.set_faults(Vec::new(), 1);
    Ok((world, done))
}
