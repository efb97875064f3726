//! Log lines of an outage: few, so that many watches do not fill the log.

use tracing::{info, warn};

use super::super::outages::{Note, Untold};
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
        Note::Again | Note::Still(_) => retrying(event, watch, named, &failure.problem, *delay, true),
        Note::Nothing | Note::First | Note::Over { .. } | Note::WereMany { .. } => write(event, named, None),
    }
    if let Note::Still(Untold { polls, watches, outages, lasted }) = note {
        failure!(
            warn,
            &failure.problem,
            [
                account = named.account(watch),
                polls.failed = polls,
                watches.failed = watches,
                outages.untold = Some(*outages).filter(|outages| *outages > 0),
            ],
            [outage_ms = in_ms(*lasted),],
            "checks keep failing"
        );
    }
}

/// Logs that an outage is over, if it is, or that there were many.
pub(in crate::observe) fn recovered(note: &Note, named: Named) {
    let shown = |account| (named == Named::Watch).then_some(account);
    match note {
        Note::Over { account, lasted } => {
            info!(account = shown(&**account), outage_ms = in_ms(*lasted), "the API answers again");
        }
        Note::WereMany { account, untold: Untold { polls, watches, outages, .. } } => warn!(
            account = shown(&**account),
            polls.failed = polls,
            watches.failed = watches,
            outages.untold = outages,
            "checks fail now and then"
        ),
        Note::Nothing | Note::First | Note::Again | Note::Still(_) => {}
    }
}
