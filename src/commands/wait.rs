//! `wait`: blocks until exports have ended, and says how they ended.

mod links;
mod successor;
mod teller;

use std::cell::RefCell;
use std::sync::Arc;

pub(super) use self::links::{Allowance, add_results};
pub(super) use self::successor::{Finished, Successor};
use self::teller::Teller;
pub(super) use self::teller::{Telling, step, text_line};
use super::{Asking, CommandError, Session};
use crate::cli::{OutputArgs, WaitArgs};
use crate::event::{Ending, Event};
use crate::exit::ExitCode;
use crate::observe::{Observer, keep_ticking};
use crate::tasks;
use crate::tasks::follow::plan;
use crate::watch::outcome::Outcome;
use crate::words::{Closing, Words};

pub(super) async fn run(args: WaitArgs, session: &Session) -> Result<ExitCode, CommandError> {
    let successor = Successor::find(&args.command, session.settings.environment())?;
    let asking = Asking::prepare(&args.exports, args.output.show_urls, session).await?;
    let endings = follow(&asking, args.any, args.output, Telling::All, session).await?;
    let code = decide(&endings, args.any);
    if code != ExitCode::SUCCESS {
        let failed = |ending: &&Ending| !matches!(ending.outcome, Outcome::Finished | Outcome::Abandoned);
        for ending in endings.iter().filter(failed) {
            session.console.annotate(&closing(ending, &asking));
        }
    }
    if let Some(deciding) = endings.iter().find(|ending| ExitCode::of(ending.outcome) == Some(code)) {
        session.console.actions.hand_on(deciding, &endings, &asking.surroundings);
    }
    match successor {
        Some(successor) if code == ExitCode::SUCCESS => {
            Err(successor.replace_us(endings.iter().filter_map(Finished::of), session).await)
        }
        _ => Ok(code),
    }
}

/// The last lines about an export.
pub(super) fn closing(ending: &Ending, asking: &Asking) -> Closing {
    Closing::of_ending(ending, &Words::of_ending(ending, &asking.surroundings), asking.exports.len() > 1)
}

/// The exit code. With `any`, one finished export is enough.
pub(super) fn decide(endings: &[Ending], any: bool) -> ExitCode {
    if any && endings.iter().any(|ending| ending.outcome == Outcome::Finished) {
        return ExitCode::SUCCESS;
    }
    ExitCode::deciding(endings.iter().filter_map(|ending| ExitCode::of(ending.outcome)))
}

/// Follows the exports until each has ended or a signal arrives, and writes each end. Returns the endings in the order
/// in which the exports were named.
pub(super) async fn follow(
    asking: &Asking,
    any: bool,
    output: OutputArgs,
    telling: Telling,
    session: &Session,
) -> Result<Vec<Ending>, CommandError> {
    let Session { settings, clock, console, signals, .. } = session;
    let (line, is_json) = (console.line.clone(), console.is_json());
    let mut observer = Observer::new(*clock, asking.surroundings.clone(), line, is_json);
    if telling == Telling::WordsOfFinished {
        observer = observer.in_brief();
    }
    let deadline = asking.policy.max_wait.map(|max_wait| clock.now().plus(max_wait));
    observer.set_deadline(deadline);
    let observer = RefCell::new(observer);
    let mut teller = Teller::new(console, &observer, output, telling);
    let plan = plan(asking.policy.clone(), settings.concurrency());
    let (client, tell) = (Arc::clone(&asking.client), |event: &Event| teller.event(event, any));
    tokio::select! {
        biased;
        () = tasks::follow::run(&asking.exports, client, plan, *clock, signals.ended(), tell) => {}
        never = keep_ticking(|| observer.borrow_mut().tick()) => match never {},
    }
    let allowance = Allowance::of(&asking.policy, deadline, settings.concurrency(), *clock);
    let adding = add_results(teller.untold(), &asking.client, allowance);
    let interrupted = signals.unless_interrupted(adding).await;
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
