//! Generates a world from a seed. Each part has its own random generator, so that leaving out a part changes no other.

use std::time::Duration;

use fastrand::Rng;

use super::scene::{
    AccountScene, EndpointScene, HintForm, Limits, Mode, Reload, Scene, Trouble, WatchScene, Weather, What,
};
use crate::snyk::{DEFAULT_VERSION, GA_VERSION};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// The generator for a part of the world.
pub(super) fn rng(seed: u64, part: &str, id: usize) -> Rng {
    let mut hash = seed ^ 0xcbf2_9ce4_8422_2325;
    for byte in part.bytes().chain((id as u64).to_le_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    Rng::with_seed(hash)
}

pub(super) fn one_of<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    of[rng.usize(0..of.len())]
}

/// A random duration in whole milliseconds, evenly distributed on a logarithmic scale.
pub(super) fn span(rng: &mut Rng, from: Duration, to: Duration) -> Duration {
    let (low, high) = (from.as_secs_f64().max(0.001).ln(), to.as_secs_f64().max(0.002).ln());
    let seconds = (low + (high - low).max(0.0) * rng.f64()).exp();
    Duration::from_millis((seconds * 1000.0) as u64)
}

impl Scene {
    pub(super) fn invent(seed: u64) -> Self {
        let mut of_scene = rng(seed, "scene", 0);
        let rng = &mut of_scene;
        let mode = match rng.u32(0..10) {
            0 | 1 => Mode::Wait { any: rng.bool() },
            2 => Mode::Daemon { until_idle: true, in_file: rng.bool() },
            3 => Mode::Daemon { until_idle: false, in_file: false },
            _ => Mode::Daemon { until_idle: false, in_file: true },
        };
        let is_crowd = rng.u32(0..10) == 0 && matches!(mode, Mode::Daemon { .. });
        let is_big = rng.u32(0..30) == 0 && !is_crowd && matches!(mode, Mode::Daemon { .. });
        let accounts = match (mode, rng.u32(0..20)) {
            (Mode::Wait { .. }, _) => 1,
            _ if is_crowd => rng.usize(6..=24),
            (_, 0) => rng.usize(10..=100),
            (_, 1..=7) => 1,
            _ => rng.usize(2..=6),
        };
        let watches = match rng.u32(0..20) {
            _ if is_big => rng.usize(500..=5000),
            _ if is_crowd => accounts * 3,
            0 => rng.usize(20..=120),
            _ => rng.usize(1..=12).max(accounts.min(40)),
        };
        let mut limits = Limits::invent(rng, mode);
        if is_crowd {
            // More accounts than places, and all of them always have something to ask.
            limits.pace = (SECOND / 2, 1.0, SECOND / 2, 0.1);
            limits.request_timeout = one_of(rng, &[2 * SECOND, 10 * SECOND]);
            limits.concurrency = one_of(rng, &[2, 4, 8]);
        } else if is_big {
            // Many watches that last long and are polled rarely.
            let (hours, day) = (6 * HOUR, 24 * HOUR);
            limits.pace =
                one_of(rng, &[(day, 1.0, day, 0.1), (hours, 1.0, hours, 0.1), (HOUR, 2.0, hours, 0.1)]);
            limits.max_wait = one_of(rng, &[None, None, Some(24 * HOUR)]);
        }
        let accounts: Vec<_> =
            (0..accounts).map(|id| AccountScene::invent(seed, id, accounts, is_crowd)).collect();
        let (polls, longest) = if is_big { (20_000, 5 * 24 * HOUR) } else { (800, 12 * HOUR) };
        let shortest = if is_crowd { 5 * MINUTE } else { 2 * MINUTE };
        let length = length(rng, &limits, &accounts, watches, polls).clamp(shortest, longest);
        let watches = (0..watches)
            .map(|id| WatchScene::invent(seed, id, (accounts.len(), is_big), mode, length))
            .collect();
        let endpoints = match mode {
            Mode::Daemon { in_file: true, .. } => rng.usize(0..=3),
            _ => 0,
        };
        let endpoints: Vec<_> = (0..endpoints).map(|id| EndpointScene::invent(seed, id)).collect();
        let troubles = rng.usize(0..=9);
        let mut troubles: Vec<_> = (0..troubles)
            .map(|id| Trouble::invent(seed, id, mode, accounts.len(), endpoints.len(), length))
            .collect();
        if self::rng(seed, "retired", 0).u32(0..6) == 0 {
            troubles.push(Trouble::retires(seed, troubles.len(), accounts.len(), length));
        }
        // Rarer than the daemon's own beat in most worlds: on a quiet day, most of the time would be spent on beats.
        let beat = one_of(&mut self::rng(seed, "beat", 0), &[5 * SECOND, MINUTE, 5 * MINUTE, 5 * MINUTE]);
        Self { seed, mode, limits, accounts, watches, endpoints, troubles, beat, length }.with_theme()
    }
}

/// How long so many polls take.
fn length(rng: &mut Rng, limits: &Limits, accounts: &[AccountScene], watches: usize, polls: u32) -> Duration {
    let (_, _, longest, _) = limits.pace;
    let by_pace = watches as f64 / longest.as_secs_f64();
    let by_budget: f64 = accounts.iter().map(|account| f64::from(account.requests_per_minute) / 60.0).sum();
    let seconds = f64::from(rng.u32(polls / 4..=polls)) / by_pace.min(by_budget);
    Duration::from_millis((seconds * 1000.0) as u64)
}

impl Limits {
    fn invent(rng: &mut Rng, mode: Mode) -> Self {
        let initial = one_of(rng, &[SECOND / 2, SECOND / 2, SECOND, 5 * SECOND, MINUTE]);
        let longest =
            one_of(rng, &[10 * SECOND, 30 * SECOND, 30 * SECOND, 5 * MINUTE, HOUR, 6 * HOUR]).max(initial);
        let growth = one_of(rng, &[1.0, 1.1, 1.1, 2.0]);
        let longest = if growth > 1.0 { longest } else { initial };
        let pace = (initial, growth, longest, one_of(rng, &[0.0, 0.1, 0.1]));
        let is_wait = matches!(mode, Mode::Wait { .. });
        let limits = [None, Some(20 * SECOND), Some(10 * MINUTE), Some(50 * MINUTE), Some(24 * HOUR)];
        let outages = [None, Some(5 * SECOND), Some(MINUTE), Some(10 * MINUTE)];
        Self {
            pace,
            max_wait: one_of(rng, &limits[usize::from(is_wait)..]),
            max_outage: one_of(rng, &outages),
            request_timeout: one_of(rng, &[2 * SECOND, 10 * SECOND, 30 * SECOND]),
            not_found_grace: one_of(rng, &[Duration::ZERO, Duration::ZERO, 30 * SECOND]),
            retry_conflict: rng.bool(),
            pending_at_most: one_of(rng, &[None, None, None, Some(5 * MINUTE)]),
            concurrency: one_of(rng, &[1, 2, 4, 6, 16, 64, 64]),
        }
    }
}

impl AccountScene {
    fn invent(seed: u64, id: usize, accounts: usize, is_crowd: bool) -> Self {
        let mut rng = rng(seed, "account", id);
        if is_crowd {
            // Most use the same server, the first one to have troubles.
            let server = if rng.u32(0..4) == 0 { id } else { 0 };
            return Self::busy(seed, id, server);
        }
        let shares = rng.u32(0..5) == 0;
        let server = if shares { rng.usize(0..accounts) } else { id };
        let requests_per_minute = one_of(&mut rng, &[6, 60, 600, 600, 6000]);
        let latency = one_of(&mut rng, &[(1, 0), (5, 40), (20, 200), (100, 1500)]);
        Self { requests_per_minute, latency, ..Self::busy(seed, id, server) }
    }

    /// An account with a large budget.
    pub(super) fn busy(seed: u64, id: usize, server: usize) -> Self {
        let (mut rng, mut of_server) = (rng(seed, "version", id), rng(seed, "clock", server));
        Self {
            id,
            server,
            requests_per_minute: 6000,
            latency: (300, 600),
            version: one_of(&mut rng, &[None, None, None, None, Some(DEFAULT_VERSION), Some(GA_VERSION)]),
            clock: (span(&mut of_server, SECOND, 48 * HOUR), of_server.bool()),
            hints: one_of(&mut of_server, &[HintForm::Seconds, HintForm::Date, HintForm::Reset]),
        }
    }
}

impl WatchScene {
    fn invent(
        seed: u64,
        id: usize,
        (accounts, is_long): (usize, bool),
        mode: Mode,
        length: Duration,
    ) -> Self {
        let mut rng = rng(seed, "watch", id);
        let is_daemon = matches!(mode, Mode::Daemon { .. });
        let is_late = is_daemon && rng.u32(0..4) == 0;
        let added_at = if is_late { span(&mut rng, SECOND, length) } else { Duration::ZERO };
        let cancelled = is_daemon && rng.u32(0..12) == 0;
        let cancelled_at = cancelled.then(|| added_at + span(&mut rng, SECOND, length));
        let born_at = match rng.u32(0..12) {
            0 => added_at + span(&mut rng, SECOND, 50 * SECOND),
            1 => Duration::MAX,
            _ => Duration::ZERO,
        };
        let started_at = added_at + span(&mut rng, SECOND, length);
        let even = added_at + length.mul_f64(2.0 * rng.f64());
        let ends_at = match rng.u32(0..8) {
            0 => Duration::MAX,
            // Some end together, and some have ended before the first poll.
            1 => added_at.max(length / 4),
            2 if !is_long => Duration::ZERO,
            3 | 4 => even,
            _ if is_long => even,
            _ => added_at + span(&mut rng, SECOND / 10, length + length / 2),
        };
        const WORDS: [&str; 8] =
            ["FINISHED", "FINISHED", "FINISHED", "finished", "ERROR", "ERRORED", "CANCELLED", "FINISHED"];
        let last_word = one_of(&mut rng, &WORDS);
        // With `--until-idle`, all watches are there from the start.
        let ends = !matches!(mode, Mode::Daemon { until_idle: false, .. });
        let of_settings = added_at.is_zero() && (rng.bool() || ends);
        let account = if id < accounts { id } else { rng.usize(0..accounts) };
        Self { id, account, of_settings, added_at, cancelled_at, born_at, started_at, ends_at, last_word }
    }
}

impl EndpointScene {
    fn invent(seed: u64, id: usize) -> Self {
        let mut rng = rng(seed, "endpoint", id);
        let takes = span(&mut rng, SECOND / 100, 4 * SECOND);
        Self { id, takes, finished_only: rng.u32(0..4) == 0 }
    }
}

impl Weather {
    fn invent(rng: &mut Rng) -> Self {
        let hint = match rng.u32(0..8) {
            0..=3 => None,
            4 => Some(400 * 24 * HOUR),
            _ => Some(Duration::from_secs(rng.u64(0..120))),
        };
        match rng.u32(0..17) {
            0 | 1 => Self::Hangs,
            2 => Self::Slow(span(rng, SECOND, 40 * SECOND)),
            3 | 4 => Self::Code { code: 429, gateway: false, hint },
            5 | 6 => Self::Code { code: 401, gateway: false, hint: None },
            7 => Self::Code { code: one_of(rng, &[403, 404, 409, 410, 404]), gateway: false, hint: None },
            8 => Self::Code { code: one_of(rng, &[400, 403, 421]), gateway: true, hint: None },
            9 => Self::Code { code: one_of(rng, &[500, 502, 503]), gateway: false, hint },
            10 => Self::Unreachable,
            11 => Self::Untrusted,
            12 => {
                let soon = Duration::from_secs(rng.u64(0..200));
                Self::Hints(one_of(rng, &[soon, soon, 2 * HOUR, 400 * 24 * HOUR]))
            }
            _ => Self::Flaky {
                percent: rng.u8(1..60),
                code: one_of(rng, &[401, 401, 401, 403, 404, 429, 500, 503, 400]),
                later: one_of(rng, &[Duration::ZERO, Duration::ZERO, SECOND, 3 * SECOND]),
            },
        }
    }
}

impl Trouble {
    /// The default version is removed, for a while or for ever; rarely the GA version is removed instead.
    pub(super) fn retires(seed: u64, id: usize, accounts: usize, length: Duration) -> Self {
        let mut rng = rng(seed, "retired", id + 1);
        let at = Duration::from_millis((length.mul_f64(rng.f64())).as_millis() as u64);
        let lasts = span(&mut rng, SECOND, length);
        let weather = Weather::Retired { code: one_of(&mut rng, &[404, 410]), is_default: rng.u32(0..4) > 0 };
        Self { id, at, until: at + lasts, what: What::Server { server: rng.usize(0..accounts), weather } }
    }

    fn invent(seed: u64, id: usize, mode: Mode, accounts: usize, endpoints: usize, length: Duration) -> Self {
        let mut of_trouble = rng(seed, "trouble", id);
        let rng = &mut of_trouble;
        let is_early = rng.bool();
        let at = if is_early { span(rng, SECOND / 10, length) } else { length.mul_f64(rng.f64()) };
        let at = Duration::from_millis(at.as_millis() as u64);
        let until = at + span(rng, SECOND / 5, (length / 2).min(6 * HOUR));
        let in_file = matches!(mode, Mode::Daemon { in_file: true, .. });
        let kind = match mode {
            Mode::Wait { .. } => one_of(rng, &[0, 0, 0, 0, 5, 5, 6, 9]),
            Mode::Daemon { in_file: false, .. } => one_of(rng, &[0, 0, 0, 0, 0, 2, 5, 6, 10]),
            Mode::Daemon { .. } => one_of(rng, &[0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 10, 11]),
        };
        let what = match kind {
            1 if endpoints > 0 => {
                What::Endpoint { endpoint: rng.usize(0..endpoints), weather: Weather::invent(rng) }
            }
            2 => What::StoreIsSlow(span(rng, SECOND / 100, 10 * SECOND)),
            3 if in_file => What::StoreIsLocked,
            4 if in_file => What::StoreFails { keeps: rng.bool() },
            5 => What::Stall,
            6 => What::Sleep(span(rng, SECOND, 24 * HOUR)),
            7 => What::WallStep { forward: rng.bool(), by: span(rng, SECOND, 24 * HOUR) },
            8 if in_file => What::Kill { steps: rng.u32(0..40) },
            9 => What::Terminate,
            10 => What::Reload(match rng.u32(0..6) {
                0 => Reload::Same,
                1 => Reload::Concurrency(one_of(rng, &[1, 3, 8, 64])),
                2 => Reload::Rate {
                    account: rng.usize(0..accounts),
                    requests_per_minute: one_of(rng, &[6, 60, 600, 6000]),
                },
                3 => Reload::MaxWait(one_of(rng, &[None, Some(MINUTE), Some(HOUR)])),
                _ => Reload::Without { account: rng.usize(0..accounts) },
            }),
            11 if in_file => What::PowerCut,
            _ => {
                let server = if rng.u32(0..3) == 0 { 0 } else { rng.usize(0..accounts) };
                What::Server { server, weather: Weather::invent(rng) }
            }
        };
        // A daemon that fails is restarted every few seconds.
        let is_failure = matches!(what, What::StoreFails { .. });
        let until = if is_failure { until.min(at + MINUTE) } else { until };
        Self { id, at, until, what }
    }
}
