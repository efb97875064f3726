//! Hears the events of the runner and queues notifications, in place of the daemon's ledger.

use std::ops::ControlFlow;
use std::sync::Arc;

use uuid::Uuid;

use super::world::{World, account_of};
use crate::daemon::ledger::Bells;
use crate::document::Document;
use crate::event::{Ending, Event, What};
use crate::moment::Moment;
use crate::notify::{cloud_event, delivery_id};
use crate::runner::{Closing, Obligations};
use crate::store::NewDelivery;
use crate::watch::observation::Problem;
use crate::watch::outcome::Outcome;

/// Hears the events of the runner and queues notifications.
#[derive(Clone)]
pub(super) struct Ledger {
    pub(super) world: Arc<World>,
    pub(super) bells: Bells,
}

impl Obligations for Ledger {
    fn close(&self, ending: &Ending) -> Closing {
        let wanting = self.world.scene.endpoints.iter();
        let wanting: Vec<_> =
            wanting.filter(|e| !e.finished_only || ending.outcome == Outcome::Finished).collect();
        if wanting.is_empty() {
            return Closing { document: "{}".to_owned(), deliveries: Vec::new() };
        }
        let told = cloud_event::ended(ending, Document::of_ending(ending, false));
        let id = ending.watch.id.to_string();
        let deliveries =
            wanting.into_iter().map(|endpoint| owed(endpoint.id, &id, &told, ending.at)).collect();
        Closing { document: "{}".to_owned(), deliveries }
    }

    fn refuse(&self, account: &str, problem: &Problem, now: Moment) -> Vec<NewDelivery> {
        self.world.owes_refusal(account_of(account), now);
        let id = Uuid::from_u128(u128::from(now.unix_ms()) << 64 | account_of(account) as u128);
        self.owed_for_account(&cloud_event::unauthorized(account, problem, now, id), now, id)
    }

    fn accept(&self, account: &str, now: Moment) -> Vec<NewDelivery> {
        // Another id than that of a refusal at the same moment.
        let id = Uuid::from_u128(u128::from(now.unix_ms()) << 64 | 1 << 63 | account_of(account) as u128);
        self.owed_for_account(&cloud_event::authorized(account, now, id), now, id)
    }

    fn passed(&self, now: Moment) {
        self.bells.health.pass(now);
    }
}

fn owed(endpoint: usize, id: &str, told: &str, at: Moment) -> NewDelivery {
    let name = super::post::name(endpoint);
    NewDelivery { id: delivery_id(id, &name), endpoint: name, event: told.to_owned(), at }
}

impl Ledger {
    fn owed_for_account(&self, told: &str, now: Moment, id: Uuid) -> Vec<NewDelivery> {
        let wanting = self.world.scene.endpoints.iter().filter(|endpoint| !endpoint.finished_only);
        wanting.map(|endpoint| owed(endpoint.id, &id.to_string(), told, now)).collect()
    }

    pub(super) fn hear(&self, event: &Event, any: bool) -> ControlFlow<()> {
        self.bells.ring(event);
        match &event.what {
            What::Finished(ending) => {
                let watch = ending.watch.export.export_id.as_u128() as usize;
                self.world.told(watch, ending.outcome);
                if any && ending.outcome == Outcome::Finished {
                    return ControlFlow::Break(());
                }
            }
            What::AccountPaused { account, .. } => self.world.account_is(account, true),
            What::AccountResumed { account, paused: Some(_) } => self.world.account_is(account, false),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
