//! The lives of a daemon, one after the other, and what happens to its file between them.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use super::life::{Left, live};
use super::scene::Mode;
use super::script::Script;
use super::store::{Disk, InFile, Kept};
use super::world::World;
use crate::store::{Catalogue as _, Filter, MemoryStore};

/// All lives, one after the other.
pub(super) async fn lives(world: &Arc<World>, mut script: Script) {
    let folder = match world.scene.mode {
        Mode::Daemon { in_file: true, .. } => Some(folder()),
        _ => None,
    };
    let memory = MemoryStore::default();
    let path = |file: u32| folder.as_ref().map(|folder| folder.path().join(format!("{file}/watches.db")));
    let mut number = 0;
    loop {
        let kept = match path(number) {
            None => Kept::Memory(memory.clone()),
            Some(path) => match InFile::open(&path) {
                Ok(file) => Kept::File(file),
                Err(why) => return world.violate(|| format!("the store cannot be opened: {why}")),
            },
        };
        let disk = Disk::new(world, kept.clone());
        let store = tokio::task::LocalSet::new();
        let left = stepping(world, store.run_until(live(world, &disk, &mut script))).await;
        drop(store);
        world.life_ends();
        let doom = world.doom.take();
        let down = match (left, doom) {
            (Some(Left::Over), _) => break,
            (Some(Left::Again(down)), _) => down,
            (None, doom) => {
                let doom = doom.unwrap_or_default();
                if let (Kept::File(file), Some(next)) = (&kept, path(number + 1)) {
                    crash(world, file, &next, doom.is_power_cut);
                    number += 1;
                }
                doom.down_for
            }
        };
        if world.violation().is_some() {
            break;
        }
        drop((disk, kept));
        tokio::time::sleep(down).await;
    }
    world.is_over();
    if let (Some(path), None) = (path(number), world.violation()) {
        in_the_file(world, &path).await;
    }
}

fn crash(world: &World, file: &InFile, next: &Path, is_power_cut: bool) {
    world.note([10, u64::from(is_power_cut), 0], || {
        (if is_power_cut { "the machine loses power" } else { "the daemon is killed" }).to_owned()
    });
    let folder = next.parent().map_or_else(PathBuf::new, Path::to_owned);
    let crashed = std::fs::create_dir(folder).and_then(|()| file.crash(next, is_power_cut));
    match crashed {
        Ok(true) => world.is_taken_back(),
        Ok(false) => {}
        Err(error) => panic!("the simulation's own files: {error}"),
    }
}

/// A directory in memory, if there is a file system for that.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    folder.unwrap_or_else(|error| panic!("the simulation's own files: {error}"))
}

/// Checks that the file contains what was recorded.
async fn in_the_file(world: &Arc<World>, path: &Path) {
    let opened = InFile::open(path);
    let Ok(file) = opened else {
        return world.violate(|| "the store cannot be opened in the end".to_owned());
    };
    match file.sqlite.list(Filter::default()).await {
        Ok(Some(listing)) => world.must_be_listed(&listing.watches),
        Ok(None) | Err(_) => world.violate(|| "the store cannot be read in the end".to_owned()),
    }
}

/// Runs a life step by step. `None` if the process is killed.
async fn stepping<T>(world: &World, life: impl Future<Output = T>) -> Option<T> {
    let mut life = pin!(life);
    std::future::poll_fn(|cx| {
        if world.violation().is_some() || world.dies() {
            return Poll::Ready(None);
        }
        let step = life.as_mut().poll(cx).map(Some);
        world.steps();
        // A task that is doomed takes the rest of its steps even if nothing is left to do.
        if world.doom.get().is_some() {
            cx.waker().wake_by_ref();
        }
        step
    })
    .await
}
