//! Worlds with a theme: combinations that are rare by chance, and that some faults need. Themes do not change other worlds.

use std::time::Duration;

use fastrand::Rng;

use super::invent::{one_of, rng, span};
use super::scene::{AccountScene, Mode, Reload, Scene, Trouble, WatchScene, Weather, What};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// One world in this many has a theme.
const SELDOM: u32 = 8;

impl Scene {
    pub(super) fn with_theme(mut self) -> Self {
        let mut of_theme = rng(self.seed, "theme", 0);
        let mut of_second = rng(self.seed, "second theme", 0);
        let (rng, second) = (&mut of_theme, &mut of_second);
        if rng.u32(0..SELDOM) == 0 {
            self.mode = Mode::Daemon { until_idle: false, in_file: true };
            self.limits.pending_at_most = None;
            match rng.u32(0..5) {
                0 => self.most_hang(rng),
                1 => self.one_is_slow(rng),
                2 => self.is_reloaded_often(rng),
                3 => self.deadlines_come_while_throttled(rng),
                _ => self.is_locked_for_long(rng),
            }
        } else if self.mode == (Mode::Wait { any: true }) && rng.bool() {
            self.all_end_together();
        } else if self.is_daemon_in_file() && second.u32(0..SELDOM) == 0 {
            if second.bool() { self.is_sent_away_for_years(second) } else { self.version_goes(second) }
        }
        self
    }

    fn is_daemon_in_file(&self) -> bool {
        matches!(self.mode, Mode::Daemon { until_idle: false, in_file: true })
    }

    /// So many accounts, each with a server of its own.
    fn own_servers(&self, accounts: usize) -> Vec<AccountScene> {
        (0..accounts).map(|id| AccountScene::busy(self.seed, id, id)).collect()
    }

    /// These accounts, each with so many watches that exist from the start and end late.
    fn people(&mut self, accounts: Vec<AccountScene>, each: usize) {
        let watch = |id: usize| WatchScene {
            id,
            account: accounts[id / each].id,
            of_settings: false,
            added_at: Duration::ZERO,
            cancelled_at: None,
            born_at: Duration::ZERO,
            started_at: 2 * SECOND,
            ends_at: self.length * 2,
            last_word: "FINISHED",
        };
        self.watches = (0..accounts.len() * each).map(watch).collect();
        self.accounts = accounts;
    }

    /// One trouble that begins early and lasts until the end.
    fn troubled(&mut self, rng: &mut Rng, what: What) {
        let at = span(rng, 10 * SECOND, MINUTE);
        self.troubles = vec![Trouble { id: 0, at, until: self.length, what }];
    }

    /// More accounts than places use a server that hangs. Other accounts must not wait for them.
    fn most_hang(&mut self, rng: &mut Rng) {
        self.limits.pace = (SECOND / 2, 1.0, SECOND / 2, 0.1);
        self.limits.request_timeout = 30 * SECOND;
        self.limits.concurrency = one_of(rng, &[4, 8]);
        (self.limits.max_wait, self.limits.max_outage) = (None, None);
        self.length = 5 * MINUTE;
        let (hang, well) = (self.limits.concurrency + rng.usize(1..=3), rng.usize(2..=4));
        let seed = self.seed;
        let account = |id| AccountScene::busy(seed, id, if id < hang { 0 } else { id });
        self.people((0..hang + well).map(account).collect(), 3);
        self.troubled(rng, What::Server { server: 0, weather: Weather::Hangs });
    }

    /// One account has a slow server; more accounts than places have quick ones.
    fn one_is_slow(&mut self, rng: &mut Rng) {
        self.limits.pace = (SECOND / 2, 1.0, SECOND / 2, 0.1);
        self.limits.request_timeout = 2 * SECOND;
        self.limits.concurrency = 8;
        (self.limits.max_wait, self.limits.max_outage) = (None, None);
        self.length = 3 * MINUTE;
        self.people(self.own_servers(rng.usize(10..=14)), 3);
        let weather = one_of(rng, &[Weather::Hangs, Weather::Slow(SECOND)]);
        self.troubled(rng, What::Server { server: 0, weather });
    }

    /// Busy accounts are removed and added again, get other rates, and have failing credentials.
    fn is_reloaded_often(&mut self, rng: &mut Rng) {
        self.limits.pace = (SECOND / 2, 1.0, SECOND / 2, 0.1);
        self.limits.concurrency = one_of(rng, &[1, 2, 4]);
        self.length = 5 * MINUTE;
        let accounts = rng.usize(1..=3);
        let seed = self.seed;
        let slow = |id| AccountScene {
            latency: (100, 1500),
            requests_per_minute: one_of(rng, &[6, 600, 6000]),
            ..AccountScene::busy(seed, id, id)
        };
        self.people((0..accounts).map(slow).collect(), 4);
        let trouble = |id| {
            let account = rng.usize(0..accounts);
            let at = Duration::from_millis(rng.u64(1000..300_000));
            let code = one_of(rng, &[401, 401, 429]);
            let hint = Some(Duration::from_secs(rng.u64(1..100))).filter(|_| code == 429);
            let what = match rng.u32(0..7) {
                0 | 1 => What::Reload(Reload::Without { account }),
                2 => What::Reload(Reload::Same),
                3 => {
                    What::Reload(Reload::Rate { account, requests_per_minute: one_of(rng, &[60, 600, 6000]) })
                }
                4 => What::Server {
                    server: account,
                    weather: Weather::Flaky { percent: rng.u8(20..60), code: 401, later: 2 * SECOND },
                },
                _ => What::Server { server: account, weather: Weather::Code { code, gateway: false, hint } },
            };
            Trouble { id, at, until: at + span(rng, SECOND, MINUTE), what }
        };
        self.troubles = (0..10).map(trouble).collect();
    }

    /// Deadlines pass while the account is throttled.
    fn deadlines_come_while_throttled(&mut self, rng: &mut Rng) {
        self.limits.max_wait = Some(one_of(rng, &[20 * SECOND, 2 * MINUTE]));
        self.limits.concurrency = one_of(rng, &[2, 16]);
        self.length = 8 * MINUTE;
        let accounts = rng.usize(1..=3);
        self.people(self.own_servers(accounts), 8);
        for watch in &mut self.watches {
            watch.added_at = Duration::from_millis(rng.u64(1..400_000));
            (watch.started_at, watch.of_settings) = (watch.added_at + SECOND, false);
        }
        let trouble = |id| {
            let hint = Some(Duration::from_secs(rng.u64(5..200)));
            let weather = Weather::Code { code: 429, gateway: false, hint };
            let at = Duration::from_millis(rng.u64(1000..400_000));
            let what = What::Server { server: rng.usize(0..accounts), weather };
            Trouble { id, at, until: at + span(rng, SECOND, 5 * SECOND), what }
        };
        self.troubles = (0..6).map(trouble).collect();
    }

    /// A server sends a hint of more than a year, and no limit ends the watches.
    fn is_sent_away_for_years(&mut self, rng: &mut Rng) {
        (self.limits.max_wait, self.limits.max_outage, self.limits.pending_at_most) = (None, None, None);
        self.length = 4 * 60 * MINUTE;
        self.people(self.own_servers(rng.usize(1..=2)), 3);
        let hint = 400 * 24 * 60 * MINUTE;
        let weather = one_of(
            rng,
            &[
                Weather::Hints(hint),
                Weather::Code { code: 429, gateway: false, hint: Some(hint) },
                Weather::Code { code: 503, gateway: false, hint: Some(hint) },
            ],
        );
        self.troubled(rng, What::Server { server: 0, weather });
    }

    /// The default version is removed while watches are followed, and comes back.
    fn version_goes(&mut self, rng: &mut Rng) {
        self.limits.pace = (SECOND, 1.1, 30 * SECOND, 0.1);
        self.length = 30 * MINUTE;
        self.people(self.own_servers(rng.usize(1..=3)), 3);
        for account in &mut self.accounts {
            (account.server, account.version) = (0, None);
        }
        self.troubles = (0..3).map(|id| Trouble::retires(self.seed, id, 1, self.length)).collect();
    }

    /// With `--any`, all exports end at the same moment.
    fn all_end_together(&mut self) {
        self.limits.concurrency = 16;
        self.accounts.iter_mut().for_each(|account| account.latency = (1, 0));
        for watch in &mut self.watches {
            (watch.born_at, watch.ends_at) = (Duration::ZERO, Duration::ZERO);
        }
    }

    /// Another program locks the file for minutes.
    fn is_locked_for_long(&mut self, rng: &mut Rng) {
        self.limits.pace = (SECOND, 1.1, MINUTE, 0.1);
        self.length = 60 * MINUTE;
        self.people(self.own_servers(rng.usize(1..=3)), 6);
        let trouble = |id| {
            let at = Duration::from_millis(rng.u64(1000..3_000_000));
            Trouble { id, at, until: at + span(rng, 100 * SECOND, 10 * MINUTE), what: What::StoreIsLocked }
        };
        self.troubles = (0..2).map(trouble).collect();
    }
}
