//! Log lines of an outage: few, so that many watches do not fill the log.

use tracing::{info, warn};

use super::super::outages::Note;
use super::{Named, failure, retrying, text, write};
use crate::duration::in_ms;
use crate::event::{Event, What};
use crate::watch::observation::Problem;

/// Logs an event, as far as the outage of its account leaves room for it.
pub(in crate::observe) fn noted(event: &Event, named: Named, note: &Note) {
    let What::Retrying { watch, failure, delay, .. } = &event.what else {
        write(event, named, None);
        return recovered(note, named);
    };
    match note {
        Note::Again | Note::Still { .. } => retrying(event, watch, named, &failure.problem, *delay, true),
        Note::Nothing | Note::First | Note::Over { .. } => write(event, named, None),
    }
    if let Note::Still { polls, watches, lasted } = note {
        failure!(
            warn,
            &failure.problem,
            [account = named.account(watch), polls.failed = polls, watches.failed = watches,],
            [outage_ms = in_ms(*lasted),],
            "checks keep failing"
        );
    }
}

/// Logs that an outage is over, if it is.
pub(in crate::observe) fn recovered(note: &Note, named: Named) {
    let Note::Over { account, lasted } = note else { return };
    let account = (named == Named::Watch).then_some(&**account);
    info!(account, outage_ms = in_ms(*lasted), "the API answers again");
}
