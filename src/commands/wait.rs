//! `wait`: blocks until exports have ended, and says how.

mod links;
mod successor;
mod teller;

use std::cell::RefCell;
use std::sync::Arc;

pub(super) use self::links::{Allowance, lacks_results, list_results};
pub(super) use self::successor::{Finished, executable, replace_us};
use self::teller::Teller;
pub(super) use self::teller::{Telling, text_line};
use super::{Asking, CommandError, Session};
use crate::cli::{OutputArgs, WaitArgs};
use crate::event::{Ending, Event};
use crate::exit::ExitCode;
use crate::export::ExportRef;
use crate::moment::Moment;
use crate::observe::{Observer, keep_ticking, sentence};
use crate::runner::{Account, Plan, Runner};
use crate::store::MemoryStore;
use crate::watch::Policy;
use crate::watch::outcome::Outcome;

pub(super) async fn run(args: WaitArgs, session: &mut Session) -> Result<ExitCode, CommandError> {
    let program =
        args.command.first().map(|name| executable(name, session.settings.environment())).transpose()?;
    let asking = Asking::prepare(&args.exports, args.output.show_urls, session).await?;
    let endings = follow(&asking, args.any, args.output, Telling::All, session).await?;
    let code = decide(&endings, args.any);
    if code != ExitCode::SUCCESS {
        let failed = |ending: &&Ending| !matches!(ending.outcome, Outcome::Finished | Outcome::Abandoned);
        endings.iter().filter(failed).for_each(|ending| session.console.annotate(&sentence(ending)));
    }
    if let Some(deciding) = endings.iter().find(|ending| ExitCode::of(ending.outcome) == Some(code)) {
        session.console.actions.hand_on(deciding, &endings);
    }
    match program {
        Some(program) if code == ExitCode::SUCCESS => {
            let finished: Vec<Finished> = endings.iter().filter_map(Finished::of).collect();
            Err(replace_us(&program, &args.command, &finished, session).await)
        }
        _ => Ok(code),
    }
}

/// With `any`, one that has finished is enough.
pub(super) fn decide(endings: &[Ending], any: bool) -> ExitCode {
    if any && endings.iter().any(|ending| ending.outcome == Outcome::Finished) {
        return ExitCode::SUCCESS;
    }
    ExitCode::deciding(endings.iter().filter_map(|ending| ExitCode::of(ending.outcome)))
}

/// Follows the exports to their ends, or until a signal comes, and tells of each end when it comes. The endings are
/// in the order in which the exports were named.
pub(super) async fn follow(
    asking: &Asking,
    any: bool,
    output: OutputArgs,
    telling: Telling,
    session: &mut Session,
) -> Result<Vec<Ending>, CommandError> {
    let Session { settings, clock, console, signals, .. } = session;
    let observer =
        Observer::new(*clock, asking.surroundings.clone(), console.line.clone(), console.is_json());
    let observer = RefCell::new(observer);
    let store = MemoryStore::default();
    take_on(&asking.exports, &asking.policy, &store, &mut observer.borrow_mut(), clock.now());
    let mut teller = Teller::new(console, &observer, output, telling);
    let plan = Plan { policy: asking.policy.clone(), concurrency: settings.concurrency(), beat: None };
    let account =
        Account { name: Arc::from("default"), poller: Arc::clone(&asking.client), requests_per_minute: None };
    let mut runner = Runner::new(store.clone(), vec![account], plan, (), *clock, fastrand::Rng::new());
    let mut tell = |event: &Event| teller.event(event, any);
    let signal = tokio::select! {
        biased;
        signal = signals.ended() => Some(signal),
        _ = runner.run(std::future::pending::<()>(), true, &mut tell) => None,
        _ = keep_ticking(|| observer.borrow_mut().tick()) => None,
    };
    let outcome = signal.map_or(Outcome::Abandoned, Outcome::Interrupted);
    let teller_failed = teller.has_failed();
    for watch in store.unfinished().into_iter().filter(|_| !teller_failed) {
        teller.end(Ending { watch, outcome, report: None, at: clock.now(), asked: None });
    }
    let deadline = teller.deadline(&asking.policy);
    let allowance = Allowance::of(&asking.policy, deadline, settings.concurrency(), *clock);
    let interrupted = match signal {
        None => signals.unless_interrupted(teller.tell_with_links(&asking.client, allowance)).await,
        Some(signal) => Err(signal),
    };
    let told = teller.tell_the_rest();
    console.line.clear();
    let mut endings = told?;
    if let Err(signal) = interrupted
        && !endings.iter().any(|ending| ending.outcome == Outcome::Interrupted(signal))
    {
        return Err(CommandError::Interrupted(signal));
    }
    endings.sort_by_key(|ending| asking.exports.iter().position(|export| *export == ending.watch.export));
    Ok(endings)
}

fn take_on(
    exports: &[ExportRef],
    policy: &Policy,
    store: &MemoryStore,
    observer: &mut Observer,
    now: Moment,
) {
    for export in exports {
        if let Some(watch) = store.add(*export, now) {
            observer.set_deadline(watch.progress.deadline(policy));
            observer.event(&Event::Added { watch });
        }
    }
}
