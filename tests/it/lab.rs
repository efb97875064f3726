//! The lab: a simulated Export API with faults, and the program as users run it.
//!
//! Nothing here sleeps in order to wait: tests wait for conditions, and each wait has a limit.

mod answer;
mod namespace;
mod pipe;
mod program;
mod receiver;
mod run;
mod wall;
mod watched;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

use snyk_export::simulator::{Exchange, Scenario, Simulator};
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;

pub(crate) use answer::Answer;
pub(crate) use namespace::{as_pid_one, can_be_pid_one, pid_one};
pub(crate) use pipe::{fifo, full_pipe};
pub(crate) use program::{ISSUES, Program};
pub(crate) use receiver::{Notice, Receiver};
pub(crate) use run::{Run, Spawned, signal};
pub(crate) use wall::WallClock;
pub(crate) use watched::{Gate, PATIENCE, Watched, until};

pub(crate) const GROUP: &str = "11111111-2222-4333-8444-555555555555";
pub(crate) const EXPORT_ID: &str = "d6b6f9a4-3c1e-4f57-9a62-0b7c1d2e3f40";
pub(crate) const SECOND_ID: &str = "7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b";
pub(crate) const THIRD_ID: &str = "00000000-3b4d-4e5f-8a6b-9c0d1e2f3a4b";

/// The token of each program, unless a test sets another one.
pub(crate) const TOKEN: &str = "5ec7e700-0000-4000-8000-00000000cafe";

/// A scenario whose export is ready at the first poll.
pub(crate) const READY: &str = "pending = '0s'\nstarted = '0s'\n";

/// A scenario whose export is never ready.
pub(crate) const NEVER: &str = "pending = '1000h'\n";

/// The path of an export of [`GROUP`], as the command line takes it.
pub(crate) fn path(export_id: &str) -> String {
    format!("/groups/{GROUP}/jobs/export/{export_id}")
}

/// A simulated Export API with its own runtime, so that tests are plain functions.
pub(crate) struct Lab {
    // Dropped in this order: the simulator runs in the runtime.
    simulator: Simulator,
    exchanges: Watched<Vec<Exchange>>,
    _runtime: Runtime,
}

impl Lab {
    /// Plays a scenario in TOML.
    #[track_caller]
    pub(crate) fn start(scenario: &str) -> Lab {
        Lab::hearing(scenario, |_| {})
    }

    /// As [`Lab::start`]; `hear` is called with each exchange before its answer is sent.
    #[track_caller]
    pub(crate) fn hearing(scenario: &str, hear: impl Fn(&Exchange) + Send + Sync + 'static) -> Lab {
        Lab::listening(SocketAddr::from(([127, 0, 0, 1], 0)), scenario, hear)
    }

    #[track_caller]
    pub(crate) fn listening(
        address: SocketAddr,
        scenario: &str,
        hear: impl Fn(&Exchange) + Send + Sync + 'static,
    ) -> Lab {
        let scenario = Scenario::from_toml(scenario).unwrap_or_else(|error| panic!("{error}"));
        // A program that is just being started may still hold an earlier listener.
        until(|| is_free(address));
        let runtime = runtime();
        let exchanges: Watched<Vec<Exchange>> = Watched::default();
        let log = {
            let exchanges = exchanges.clone();
            move |exchange: &Exchange| {
                hear(exchange);
                exchanges.change(|exchanges| exchanges.push(exchange.clone()));
            }
        };
        let simulator = runtime.block_on(Simulator::start(address, scenario, log)).unwrap();
        Lab { simulator, exchanges, _runtime: runtime }
    }

    pub(crate) fn url(&self) -> String {
        self.simulator.base_url()
    }

    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        self.exchanges.get()
    }

    /// Waits for this many requests.
    #[track_caller]
    pub(crate) fn until_asked(&self, times: usize) -> Vec<Exchange> {
        self.until_heard(|exchanges| exchanges.len() >= times)
    }

    /// Waits until the requests so far are as wanted.
    #[track_caller]
    pub(crate) fn until_heard(&self, wanted: impl Fn(&[Exchange]) -> bool) -> Vec<Exchange> {
        self.exchanges.until(|exchanges| wanted(exchanges))
    }

    /// The number of requests.
    pub(crate) fn requests(&self) -> usize {
        self.exchanges().len()
    }

    /// The requests whose path starts with this.
    pub(crate) fn asked_for(&self, path: &str) -> Vec<Exchange> {
        let mut exchanges = self.exchanges();
        exchanges.retain(|exchange| exchange.target.starts_with(path));
        exchanges
    }

    /// The number of starts.
    pub(crate) fn starts(&self) -> usize {
        self.exchanges().iter().filter(|exchange| exchange.method == "POST").count()
    }

    /// The status codes of the answers; 0 for no answer.
    pub(crate) fn codes(&self) -> Vec<u16> {
        self.exchanges().iter().map(|exchange| exchange.status_code.unwrap_or(0)).collect()
    }

    /// The number of connections.
    pub(crate) fn connections(&self) -> usize {
        self.exchanges().iter().map(|exchange| exchange.connection).collect::<BTreeSet<_>>().len()
    }

    /// The API version of each request.
    pub(crate) fn versions(&self) -> Vec<String> {
        let version = |exchange: &Exchange| exchange.target.split("version=").nth(1).map(str::to_owned);
        self.exchanges().iter().map(|exchange| version(exchange).unwrap_or_default()).collect()
    }

    /// The milliseconds between the first two requests.
    pub(crate) fn first_pause_ms(&self) -> u128 {
        let exchanges = self.exchanges();
        (exchanges[1].at - exchanges[0].at).as_millis()
    }
}

/// A loopback address that no other test and no other run of the tests uses. Clients connect from elsewhere, and so each
/// port of it is free until this test listens there, and free again afterwards.
pub(crate) fn own_ip() -> Ipv4Addr {
    static TAKEN: AtomicU32 = AtomicU32::new(1);
    const RUNS: u32 = 1 << 13;
    const TESTS: u32 = 1 << 9;
    let (run, test) = (std::process::id() % RUNS, TAKEN.fetch_add(1, Ordering::Relaxed));
    assert!(test < TESTS, "every address of this run is taken");
    let [_, high, mid, low] = (run * TESTS + test).to_be_bytes();
    Ipv4Addr::new(127, 64 + high, mid, low)
}

/// An address with a port that nobody listens on. Below the ports that the system gives away.
pub(crate) fn free_address() -> SocketAddr {
    SocketAddr::from((own_ip(), 18686))
}

fn is_free(address: SocketAddr) -> bool {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).is_ok()
}

/// A runtime with a thread of its own.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}
