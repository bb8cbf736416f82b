//! Whom a call reaches that is made in a tablet's name: its name stands for an address in `map/names`, and another one may have that
//! address by now.

use openmldb_ops::cluster::{CallError, NoAddress, Registry, Rpc as _};
use openmldb_ops::model::Endpoint;
use openmldb_ops::sandbox::{InProcess, World};
use openmldb_ops::wire::call::{TabletAnswer, TabletCall};

/// Calls whoever is at the address that the tool finds for a tablet, which is that tablet or nobody.
pub async fn call(inner: &InProcess, tablet: &Endpoint, call: TabletCall) -> Result<TabletAnswer, CallError> {
    if let Some(address) = inner.live().look(|world| address(world, tablet)) {
        let address = address.map_err(|why| CallError::new(format!("tablet {tablet}"), call.name(), why.into()))?;
        let (there, registered) = inner.live().look(|world| (world.endpoint_at(&address), world.registered_tablets()));
        // As long as whoever is there has not registered, nobody can know.
        let is_known = there.as_ref().is_some_and(|there| registered.contains(there));
        assert!(
            there.as_ref() == Some(tablet) || !is_known,
            "{} is sent to {there:?} in the name of {tablet}",
            call.name()
        );
    }
    inner.tablet(tablet, call).await
}

/// None where no server goes by a name.
fn address(world: &World, tablet: &Endpoint) -> Option<Result<String, NoAddress>> {
    let names = world.map_of_names().iter().map(|(name, address)| (Endpoint::from(name.as_str()), address.clone()));
    let registry = || Registry::new(names, Some(world.registered_tablets()));
    (!world.map_of_names().is_empty()).then(|| registry().address(tablet))
}
