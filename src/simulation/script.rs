//! What happens to the daemon, and when.

use std::sync::Arc;
use std::time::Duration;

use super::ledger::Ledger;
use super::requests::{add, cancel};
use super::scene::{Reload, What};
use super::store::Disk;
use super::world::{Doom, World};
use crate::store::StoreError;

/// Something that happens at its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Add(usize),
    Cancel(usize),
    Trouble(usize),
    /// An account comes back into the settings.
    Back(usize),
    Check,
    End,
}

/// All events, in order.
pub(super) struct Script {
    happenings: Vec<(Duration, Happening)>,
    next: usize,
}

/// A request from outside.
pub(super) enum Asked {
    /// The store was changed through the API.
    Changed,
    Reload(Reload),
    /// SIGTERM; the process is started again after so long.
    Terminate(Duration),
    /// The world ends.
    Over,
}

/// How often the rules are checked.
const CHECKS: u32 = 60;

impl Script {
    pub(super) fn of(world: &World) -> Self {
        let scene = &world.scene;
        let mut happenings = vec![(scene.length, Happening::End)];
        for watch in &scene.watches {
            if !watch.of_settings {
                happenings.push((watch.added_at, Happening::Add(watch.id)));
            }
            happenings.extend(watch.cancelled_at.map(|at| (at, Happening::Cancel(watch.id))));
        }
        for trouble in &scene.troubles {
            happenings.push((trouble.at, Happening::Trouble(trouble.id)));
            if let What::Reload(Reload::Without { account }) = trouble.what {
                happenings.push((trouble.until, Happening::Back(account)));
            }
        }
        let every = (scene.length / CHECKS).as_millis() as u64;
        happenings
            .extend((1..CHECKS).map(|n| (Duration::from_millis(every * u64::from(n)), Happening::Check)));
        happenings.retain(|(at, _)| *at <= scene.length);
        happenings.sort();
        Self { happenings, next: 0 }
    }

    /// Runs events until one is for the daemon.
    pub(super) async fn next(
        &mut self,
        world: &Arc<World>,
        disk: &Disk,
        ledger: &Ledger,
    ) -> Result<Asked, StoreError> {
        loop {
            let Some((at, happening)) = self.happenings.get(self.next).copied() else {
                return Ok(Asked::Over);
            };
            tokio::time::sleep(at.saturating_sub(world.elapsed())).await;
            self.next += 1;
            match happening {
                Happening::Add(watch) => {
                    add(world, disk, watch).await?;
                    return Ok(Asked::Changed);
                }
                Happening::Cancel(watch) => {
                    cancel(world, disk, watch).await?;
                    return Ok(Asked::Changed);
                }
                Happening::Trouble(id) => {
                    if let Some(asked) = trouble(world, id).await {
                        return Ok(asked);
                    }
                }
                Happening::Back(account) => return Ok(Asked::Reload(Reload::With { account })),
                Happening::Check => {
                    world.check();
                    world.must_be_well(&ledger.bells.health);
                    world.must_be_brought();
                    disk.must_be_small();
                }
                Happening::End => {
                    world.check();
                    return Ok(Asked::Over);
                }
            }
        }
    }
}

/// Starts a trouble. Troubles of servers, endpoints and the disk need nothing here: they are looked up when they matter.
async fn trouble(world: &World, id: usize) -> Option<Asked> {
    let trouble = *world.scene.troubles.iter().find(|trouble| trouble.id == id)?;
    world.note([14, id as u64, 0], || format!("trouble {id}, until {:?}: {:?}", trouble.until, trouble.what));
    let span = trouble.until.saturating_sub(trouble.at);
    let down_for = span.min(Duration::from_secs(6 * 3600));
    match trouble.what {
        What::Server { .. }
        | What::Endpoint { .. }
        | What::StoreIsSlow(_)
        | What::StoreIsLocked
        | What::StoreFails { .. } => {}
        What::Stall => {
            world.stands_still(span);
            tokio::time::advance(span).await;
        }
        What::Sleep(by) => world.slept.set(world.slept.get() + by),
        What::WallStep { forward, by } => {
            let by = i64::try_from(by.as_millis()).unwrap_or_default();
            world.wall_step.set(world.wall_step.get() + if forward { by } else { -by });
        }
        What::Kill { steps } => world.doom.set(Some(Doom { steps, down_for, is_power_cut: false })),
        What::PowerCut => world.doom.set(Some(Doom { steps: 0, down_for, is_power_cut: true })),
        What::Terminate => return Some(Asked::Terminate(down_for)),
        What::Reload(reload) => return Some(Asked::Reload(reload)),
    }
    None
}
