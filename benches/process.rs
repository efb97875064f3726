//! The whole process beside other tools: start, memory, size, and when the end of an export is seen.
//!
//! Every figure is a count, or a ratio to something that runs in the same call. Runs alternate, so that a busy machine slows all
//! of them. Needs `curl`, GNU `time` (for memory), `bash` and `jq` (for CPU time), and `python3` with `requests`. Without one of
//! these the figure is left out, with a note. Fails if a bar is missed.
//!
//! `cargo bench --bench process`; with `-- --long` also the five minutes of 54 polls; with `-- --program PATH` for another build.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "bars.rs"]
mod bars;
#[path = "bed.rs"]
mod bed;
#[path = "run.rs"]
mod run;

use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use bars::Bars;
use bed::{Bed, FINISHED, HANG, PENDING};
use run::{Run, median};

const RUNS: usize = 41;

/// How often memory is measured.
const MEMORY_RUNS: usize = 9;

/// How many polls are compared in CPU time.
const POLLS: u32 = 54;

const EXPORT: &str =
    "/groups/11111111-2222-4333-8444-555555555555/jobs/export/7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b";
const PYTHON: &str = "
import requests, sys, time
while True:
    answer = requests.get(sys.argv[1], headers={'Authorization': 'token x'}, verify=sys.argv[2])
    if answer.json()['data']['attributes']['status'] == 'FINISHED':
        break
    time.sleep(5)
";

fn main() -> ExitCode {
    let mut bars = Bars::default();
    size(&mut bars);
    already_finished(&mut bars, &Bed::http("pending = \"0s\"\nstarted = \"0s\"\n"), "http");
    already_finished(&mut bars, &Bed::https(FINISHED), "https");
    private_memory(&mut bars, &Bed::http("pending = \"1h\"\n"), &Bed::http("latency = \"1h\"\n"), "http");
    let tls = Bed::https(PENDING);
    private_memory(&mut bars, &tls, &tls, "https");
    first_request(&mut bars);
    seen_late(&mut bars, "2.3s", 0.8, 8);
    seen_late(&mut bars, "11.7s", 1.8, 25);
    if std::env::args().any(|arg| arg == "--long") {
        many_polls(&mut bars);
    }
    bars.verdict()
}

fn size(bars: &mut Bars) {
    println!("| figure | measured | bar |\n|---|---|---|");
    let bytes = std::fs::metadata(run::program()).map_or(f64::NAN, |metadata| metadata.len() as f64);
    bars.at_most("size of the program, stripped", bytes / 1e6, 10.0, " MB");
}

/// One poll finds the export finished, so that the time is that of the process itself.
fn already_finished(bars: &mut Bars, bed: &Bed, scheme: &str) {
    let ours = bed.ours(&["wait", EXPORT]);
    let url = format!("{}/rest{EXPORT}?version=2024-10-15", bed.url());
    let ca = bed.ca().map_or_else(String::new, |path| path.display().to_string());
    let trust: &[&str] = if ca.is_empty() { &[] } else { &["--cacert", &ca] };
    let asked = ["-s", "-o", "/dev/null", "-H", "Authorization: token x", &url];
    let curl = bed.other("curl", &[trust, &asked].concat());
    let python = bed.other("python3", &["-c", PYTHON, &url, &ca]);
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..RUNS {
        for (run, times) in [&ours, &curl].into_iter().zip(&mut times) {
            times.extend(run.time());
        }
        if round % 8 == 0 {
            times[2].extend(python.time());
        }
    }
    let [ours_ms, curl_ms, python_ms] = times.map(median);
    println!("| ({scheme}: ours {ours_ms:.2} ms, curl {curl_ms:.2} ms, python {python_ms:.0} ms) | | |");
    if curl_ms.is_finite() {
        bars.at_most(
            &format!("{scheme}, already finished: wall time, of curl's"),
            ours_ms / curl_ms,
            1.0,
            " ×",
        );
    }
    if python_ms.is_finite() {
        bars.at_least(
            &format!("{scheme}, already finished: python's wall time, of ours"),
            python_ms / ours_ms,
            20.0,
            " ×",
        );
    }
    let (mut ours_kib, mut curl_kib) = (Vec::new(), Vec::new());
    for _ in 0..MEMORY_RUNS {
        ours_kib.extend(ours.peak_kib());
        curl_kib.extend(curl.peak_kib());
    }
    compare_memory(bars, &format!("{scheme}: peak memory"), ours_kib, curl_kib, 0.9);
}

/// Memory between two polls that is neither shared nor can be dropped, beside a curl that waits for an answer.
fn private_memory(bars: &mut Bars, bed: &Bed, slow: &Bed, scheme: &str) {
    let ours = bed.ours(&["wait", EXPORT]);
    let url = format!("{}/rest{EXPORT}?version=2024-10-15{HANG}", slow.url());
    let ca = slow.ca().map_or_else(String::new, |path| path.display().to_string());
    let trust: &[&str] = if ca.is_empty() { &[] } else { &["--cacert", &ca] };
    let curl = bed
        .other("curl", &[trust, &["-s", "-o", "/dev/null", "-H", "Authorization: token x", &url]].concat());
    let (mut ours_kib, mut curl_kib) = (Vec::new(), Vec::new());
    for _ in 0..MEMORY_RUNS {
        ours_kib.extend(private_kib(&ours));
        curl_kib.extend(private_kib(&curl));
    }
    compare_memory(bars, &format!("{scheme}: private memory while it waits"), ours_kib, curl_kib, 0.8);
}

fn compare_memory(bars: &mut Bars, what: &str, ours: Vec<f64>, curl: Vec<f64>, bar: f64) {
    let (ours, curl) = (median(ours) / 1024.0, median(curl) / 1024.0);
    if (ours / curl).is_nan() {
        println!("| ({what}: not measured, GNU time or /proc is missing) | | |");
        return;
    }
    println!("| ({what}: ours {ours:.2} MiB, curl {curl:.2} MiB) | | |");
    bars.at_most(&format!("{what}, of curl's"), ours / curl, bar, " ×");
}

/// `Private_Dirty` of a run in KiB, once it has not changed for half a second.
fn private_kib(run: &Run) -> Option<f64> {
    const PAUSE: Duration = Duration::from_millis(50);
    let mut child = run.command().spawn().ok()?;
    let path = format!("/proc/{}/smaps_rollup", child.id());
    let (mut last, mut same) = (0.0, 0);
    for _ in 0..200 {
        std::thread::sleep(PAUSE);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let kib =
            text.lines().find_map(|line| line.strip_prefix("Private_Dirty:")?.split_whitespace().next());
        let kib = kib.and_then(|number| number.parse().ok()).unwrap_or(f64::NAN);
        same = if kib == last { same + 1 } else { 0 };
        last = kib;
        if same == 10 {
            break;
        }
    }
    let waits = child.try_wait().ok()?.is_none() && same == 10;
    child.kill().and_then(|()| child.wait()).ok()?;
    waits.then_some(last)
}

/// The time from the launch to the request, without the time that the launch of any program takes (`true`).
fn first_request(bars: &mut Bars) {
    let bed = Bed::http("pending = \"0s\"\nstarted = \"0s\"\n");
    let (ours, nothing) = (bed.ours(&["wait", EXPORT]), bed.other("true", &[]));
    let (mut request_ms, mut nothing_ms) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        request_ms.extend(bed.launch_to_request(&ours));
        nothing_ms.extend(nothing.time());
    }
    let beyond = median(request_ms) - median(nothing_ms);
    bars.at_most("launch to first request, beyond `true`", beyond, 5.0, " ms");
}

/// The export is ready some time after the first poll.
fn seen_late(bars: &mut Bars, ready_after: &str, late: f64, requests: u32) {
    let seconds: f64 = ready_after.trim_end_matches('s').parse().expect("seconds");
    let mut lates = Vec::new();
    let (mut most_requests, mut most_connections) = (0, 0);
    for _ in 0..3 {
        let bed = Bed::http(&format!("pending = \"{ready_after}\"\nstarted = \"0s\"\n"));
        let whole = bed.ours(&["wait", EXPORT]).time().expect("a run") / 1e3;
        lates.push(whole - seconds);
        let exchanges = bed.exchanges();
        most_requests = most_requests.max(exchanges.len());
        most_connections =
            most_connections.max(exchanges.iter().map(|exchange| exchange.connection).max().unwrap_or(0));
    }
    let count = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    let worst = lates.into_iter().fold(0.0, f64::max);
    bars.at_most(&format!("ready after {ready_after}: seen late"), worst, late, " s");
    bars.at_most(
        &format!("ready after {ready_after}: requests"),
        count(most_requests),
        f64::from(requests),
        "",
    );
    bars.at_most(&format!("ready after {ready_after}: connections"), most_connections as f64, 1.0, "");
}

/// The CPU time of polls in the default pace, beside a loop of curl and jq with the same pauses. Both run at once, so that the
/// processor's caches are equally cold.
fn many_polls(bars: &mut Bars) {
    let pauses: Vec<f64> = (0..POLLS).map(|n| (0.5 * 1.1_f64.powi(n as i32)).min(10.0) * 1.05).collect();
    let (bed, of_loop) = (Bed::http("pending = \"1h\"\n"), Bed::http("pending = \"1h\"\n"));
    let limit = format!("{}s", pauses.iter().skip(1).sum::<f64>() as u64);
    let ours = bed.ours(&["wait", EXPORT, "--max-wait", &limit]);
    let url = format!("{}/rest{EXPORT}?version=2024-10-15", of_loop.url());
    let list = pauses.iter().map(|pause| format!("{pause:.3}")).collect::<Vec<_>>().join(" ");
    let script = format!(
        "for pause in {list}; do
            status=$(curl -s -H 'Authorization: token x' '{url}' | jq -r .data.attributes.status)
            [ \"$status\" = PENDING ] || exit
            sleep $pause
        done"
    );
    let curl_and_jq = of_loop.other("sh", &["-c", &script]);
    let (ours_ms, loop_ms) = std::thread::scope(|scope| {
        let ours = scope.spawn(|| cpu_ms(&ours));
        let curl_and_jq = scope.spawn(|| cpu_ms(&curl_and_jq));
        (ours.join().expect("no panic"), curl_and_jq.join().expect("no panic"))
    });
    let asked = [&bed, &of_loop].map(|bed| bed.exchanges().len() as f64);
    let [Some(ours_ms), Some(loop_ms)] = [ours_ms, loop_ms] else {
        println!("| (no bash here: CPU time is left out) | | |");
        return;
    };
    if asked[1] < f64::from(POLLS) {
        println!("| (no curl or no jq here: CPU time is left out) | | |");
        return;
    }
    println!(
        "| (CPU time: ours {ours_ms:.0} ms for {} polls, the loop {loop_ms:.0} ms for {}) | | |",
        asked[0], asked[1]
    );
    let what = format!("CPU of {POLLS} polls: that of a loop of curl and jq, of ours");
    bars.at_least(&what, (loop_ms / asked[1]) / (ours_ms / asked[0]), 20.0, " ×");
}

/// The CPU time of a run and of its children in milliseconds, as bash reports it.
fn cpu_ms(run: &Run) -> Option<f64> {
    const TIMED: &str = "TIMEFORMAT='%3U %3S'; time \"$@\" 2> /dev/null";
    let timed = run.command();
    let mut command = Command::new("bash");
    command.args(["-c", TIMED, "bash"]).arg(timed.get_program()).args(timed.get_args());
    command.envs(timed.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let stderr = String::from_utf8(command.output().ok()?.stderr).ok()?;
    let seconds = stderr.lines().last()?.split(' ').map(|text| text.parse::<f64>().ok());
    Some(seconds.sum::<Option<f64>>()? * 1e3)
}
