//! What the settings and the API change in the store: watches are added and removed.

use std::sync::Arc;

use super::store::{Disk, Kept};
use super::world::{World, export, name};
use crate::store::{Added, Catalogue as _, Quota, StoreError};
use crate::watch::{NewWatch, Watch};

/// Makes the watches of the settings the ones in this list.
pub(super) async fn reconcile(
    world: &Arc<World>,
    disk: &Disk,
    settings: Vec<usize>,
) -> Result<(), StoreError> {
    let now = world.now();
    let Kept::File(file) = disk.kept.clone() else {
        let known = world.known();
        for watch in settings.into_iter().filter(|watch| !known.contains(watch)) {
            add(world, disk, watch).await?;
        }
        return Ok(());
    };
    let listed = settings.into_iter().map(|watch| (watch_id(watch), new_watch(world, watch))).collect();
    let world = Arc::clone(world);
    disk.call(async move {
        world.is_reconciled(&file.sqlite.reconcile(listed, now).await?);
        Ok(())
    })
    .await
}

/// Adds a watch, as the API does.
pub(super) async fn add(world: &Arc<World>, disk: &Disk, watch: usize) -> Result<(), StoreError> {
    let (new, now) = (new_watch(world, watch), world.now());
    match disk.kept.clone() {
        Kept::Memory(memory) => {
            let watch = Watch { account: new.account, ..Watch::unnamed(new.export, now) };
            let taken_on = memory.take_on(watch, now);
            taken_on.iter().for_each(|watch| world.is_added(watch));
            Ok(())
        }
        Kept::File(file) => {
            let world = Arc::clone(world);
            disk.call(async move {
                if let Added::New(watch) =
                    file.sqlite.add(new, watch_id(watch), Quota::default(), now).await?
                {
                    world.is_added(&watch);
                }
                Ok(())
            })
            .await
        }
    }
}

/// Removes a watch, as the API does.
pub(super) async fn cancel(world: &Arc<World>, disk: &Disk, watch: usize) -> Result<(), StoreError> {
    let Kept::File(file) = disk.kept.clone() else { return Ok(()) };
    let world = Arc::clone(world);
    disk.call(async move {
        file.sqlite.remove(watch_id(watch)).await?;
        world.is_cancelled(watch);
        Ok(())
    })
    .await
}

pub(super) fn watch_id(watch: usize) -> uuid::Uuid {
    uuid::Uuid::from_u128(0x5eed_0000 + watch as u128)
}

fn new_watch(world: &World, watch: usize) -> NewWatch {
    let account = world.state.borrow().watches[watch].account;
    NewWatch { account: name(account).into(), export: export(watch), labels: Default::default() }
}
