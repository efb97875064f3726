//! How soon the end of an export is seen, and with how many requests: our default paces beside those of other tools.
//!
//! Time is virtual and the rules are pure, so that the figures are the same on every machine. Durations are drawn
//! log-uniformly from 5 s to 2 h. Fails if a listed policy is better than one of ours in both figures.
//!
//! `cargo bench --bench detection`

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::process::ExitCode;

use snyk_export::settings::{CommandLine, Settings};
use snyk_export::watch::pace::{Pace, Position};

const DRAWS: usize = 20_000;
const SHORTEST: f64 = 5.0;
const LONGEST: f64 = 2.0 * 60.0 * 60.0;

/// A policy returns the pause after the n-th poll (from 0), in seconds.
type Policy = Box<dyn FnMut(u32, &mut fastrand::Rng) -> f64>;

struct Row {
    name: &'static str,
    requests: f64,
    lag: f64,
    lag_p95: f64,
    relative_lag: f64,
}

fn main() -> ExitCode {
    let (ours, others) = policies();
    let measured = |policies: Vec<_>| {
        policies.into_iter().map(|(name, policy)| measure(name, policy)).collect::<Vec<_>>()
    };
    let (ours, others) = (measured(ours), measured(others));
    print(ours.iter().chain(&others));
    let mut verdict = ExitCode::SUCCESS;
    for ours in &ours {
        let is_better = |row: &&Row| row.requests < ours.requests && row.lag < ours.lag;
        for better in others.iter().filter(is_better) {
            println!("better than {} in both at once: {}", ours.name, better.name);
            verdict = ExitCode::FAILURE;
        }
    }
    verdict
}

type Named = (&'static str, Policy);

/// Our policies, and those of other tools.
fn policies() -> (Vec<Named>, Vec<Named>) {
    let fixed = |seconds: f64| -> Policy { Box::new(move |_, _| seconds) };
    let doubling = |first: f64, last: f64| -> Policy { Box::new(move |n, _| exponential(first, last, n)) };
    // As in Smithy's waiters: a random pause between the shortest one and the exponential one.
    let full_jitter = |first: f64, last: f64| -> Policy {
        Box::new(move |n, rng| first + (exponential(first, last, n) - first) * rng.f64())
    };
    let [wait, watch] = our_paces().map(ours);
    let others = vec![
        ("fixed 5 s", fixed(5.0)),
        ("fixed 15 s", fixed(15.0)),
        ("fixed 30 s", fixed(30.0)),
        ("wait4x, 2 to 5 s × 2", doubling(2.0, 5.0)),
        ("AWS (Smithy), 2 to 120 s, full jitter", full_jitter(2.0, 120.0)),
        ("Google LRO, 1 to 60 s × 2", doubling(1.0, 60.0)),
        ("curl --retry, 1 to 600 s × 2", doubling(1.0, 600.0)),
    ];
    (vec![("snyk-export wait, run", wait), ("snyk-export watch", watch)], others)
}

fn exponential(first: f64, last: f64, n: u32) -> f64 {
    (first * 2_f64.powi(n.min(40) as i32)).min(last)
}

/// The paces of `config/default.toml`, as the program reads them: of `wait` and of the daemon.
fn our_paces() -> [Pace; 2] {
    let token = [("SNYK_TOKEN".to_owned(), "x".to_owned())];
    let settings = Settings::load(CommandLine::default(), token.into_iter().collect());
    let settings = settings.expect("the defaults are valid");
    let (wait, run) = (settings.policy().expect("valid"), settings.policy_of_run().expect("valid"));
    assert_eq!(wait.pace, run.pace, "one row stands for both");
    [wait.pace, settings.daemon(false).expect("valid").policy.pace]
}

fn ours(pace: Pace) -> Policy {
    let mut position: Position = None;
    Box::new(move |n, rng| {
        if n == 0 {
            position = None;
        }
        pace.next(&mut position, rng).as_secs_f64()
    })
}

fn measure(name: &'static str, mut policy: Policy) -> Row {
    let mut rng = fastrand::Rng::with_seed(2026);
    let (mut requests, mut lags, mut relative_lag) = (0_u64, Vec::with_capacity(DRAWS), 0.0);
    for _ in 0..DRAWS {
        let duration = SHORTEST * (LONGEST / SHORTEST).powf(rng.f64());
        let (mut now, mut n) = (0.0, 0);
        while now < duration {
            now += policy(n, &mut rng);
            n += 1;
        }
        requests += u64::from(n) + 1;
        lags.push(now - duration);
        relative_lag += (now - duration) / duration;
    }
    lags.sort_by(f64::total_cmp);
    let draws = DRAWS as f64;
    Row {
        name,
        requests: requests as f64 / draws,
        lag: lags.iter().sum::<f64>() / draws,
        lag_p95: lags[DRAWS * 95 / 100],
        relative_lag: relative_lag / draws,
    }
}

fn print<'a>(rows: impl Iterator<Item = &'a Row>) {
    println!("| policy | requests, mean | lag, mean | lag, p95 | lag / duration, mean |");
    println!("|---|---|---|---|---|");
    for Row { name, requests, lag, lag_p95, relative_lag } in rows {
        println!("| {name} | {requests:.1} | {lag:.2} s | {lag_p95:.1} s | {:.1} % |", relative_lag * 100.0);
    }
}
