//! A download beside `curl --parallel`, of the same files, in the same run; and its peak memory for several sizes.
//!
//! Our program computes the SHA-256 of each part, counts its records and compares its CRC-32C. curl does nothing of this; the time
//! of SHA-256 alone is printed too. Runs alternate, each into a directory of its own, and the ratio within each pair counts.
//! Needs `curl`, GNU `time` (for memory), and 2 GB on the disk. Without one of these the figure is left out, with a note. Fails if
//! a bar is missed, and at once if our files differ from the parts.
//!
//! `cargo bench --bench download`; with `-- --dir /dev/shm` on another file system, with `-- --program PATH` for another build.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "bars.rs"]
mod bars;
#[path = "run.rs"]
mod run;
#[path = "storage.rs"]
mod storage;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bars::Bars;
use run::{Run, median, now};
use serde_json::Value;
use storage::{Export, Hasher, MIB, Storage};
use tempfile::TempDir;

const PAIRS: usize = 9;

/// How many peaks are measured for each size.
const PEAKS: usize = 5;

/// How much more memory a larger download may take, in MB: what may wait for the disk is bounded.
const MAX_WAITING: f64 = 15.0;

const PARALLEL: Export = Export { parts: 8, part_bytes: 128 * MIB };
const SMALL: Export = Export { parts: 8, part_bytes: 16 * MIB };
const SINGLE: Export = Export { parts: 1, part_bytes: 1024 * MIB };

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let given = args.iter().position(|arg| arg == "--dir").and_then(|position| args.get(position + 1));
    let bed = Bed {
        storage: Storage::start(),
        parent: PathBuf::from(given.map_or(env!("CARGO_TARGET_TMPDIR"), String::as_str)),
    };
    let mut bars = Bars::default();
    println!("| figure | measured | bar |\n|---|---|---|");
    throughput(&mut bars, &bed);
    memory(&mut bars, &bed);
    bars.verdict()
}

/// 1 GiB in 8 parts, alternating.
fn throughput(bars: &mut Bars, bed: &Bed) {
    let sha256 = bed.storage.sha256(PARALLEL);
    let [mut ours, mut curl, mut hashing] = [const { Vec::new() }; 3];
    // The first run may have to find memory for the page cache, and is not counted.
    bed.ours(PARALLEL, bed.directory().path()).time().expect("a download");
    for pair in 0..PAIRS {
        // The first run of a pair may be faster or slower because it is the first.
        for turn in [pair, pair + 1] {
            let directory = bed.directory();
            if turn % 2 == 0 {
                ours.push(bed.ours(PARALLEL, directory.path()).time().expect("a download"));
                check(directory.path(), PARALLEL, &sha256);
            } else if let Some(time) = bed.curl(PARALLEL, directory.path()).time() {
                curl.push(time);
                let start = now();
                let hashes = (1..=PARALLEL.parts).map(|n| sha256_of(&directory.path().join(n.to_string())));
                assert!(hashes.into_iter().all(|hash| hash == sha256), "curl's files are not the parts");
                hashing.push(start.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    if curl.len() < PAIRS {
        println!("| (no curl here: throughput is left out) | | |");
        return;
    }
    // Throughput is the inverse of time.
    let ratios: Vec<f64> = curl.iter().zip(&ours).map(|(curl, ours)| curl / ours).collect();
    let with_sha256 =
        curl.iter().zip(&hashing).zip(&ours).map(|((curl, hashing), ours)| (curl + hashing) / ours);
    let with_sha256 = median(with_sha256.collect());
    println!("| (the ratio in each of {PAIRS} pairs: {}) | | |", listed(&ratios));
    println!(
        "| (ours {:.2} s; curl {:.2} s, and then SHA-256 of its files, by ring in one thread, {:.2} s: ours {with_sha256:.2} × of both) | | |",
        median(ours) / 1e3,
        median(curl) / 1e3,
        median(hashing) / 1e3,
    );
    bars.at_least(
        "1 GiB in 8 parts: throughput, SHA-256, CRC-32C and counting included, of curl's without",
        median(ratios),
        0.9,
        " ×",
    );
}

/// The peak for three sizes: the worst of some runs, and their median to compare sizes, since how much waits for the disk at
/// once is random.
fn memory(bars: &mut Bars, bed: &Bed) {
    let peaks = [SMALL, PARALLEL, SINGLE].map(|export| {
        let sha256 = bed.storage.sha256(export);
        let peak = || {
            let directory = bed.directory();
            let peak = bed.ours(export, directory.path()).peak_kib()?;
            check(directory.path(), export, &sha256);
            Some(peak * 1024.0 / 1e6)
        };
        let peaks: Vec<f64> = std::iter::repeat_with(peak).take(PEAKS).flatten().collect();
        let worst = peaks.iter().copied().fold(f64::NAN, f64::max);
        (export, median(peaks), worst)
    });
    if peaks.iter().any(|(_, _, worst)| worst.is_nan()) {
        println!("| (no GNU time here: memory is left out) | | |");
        return;
    }
    for (export, usual, worst) in peaks {
        println!("| ({}: usually {usual:.1} MB) | | |", export.name());
        bars.at_most(&format!("{}: peak memory", export.name()), worst, 40.0, " MB");
    }
    let [(_, small, _), (_, parallel, _), _] = peaks;
    let growth = format!("usual peak memory, {} beyond {}", PARALLEL.name(), SMALL.name());
    bars.at_most(&growth, parallel - small, MAX_WAITING, " MB");
}

/// The server of exports, and the directory of the runs.
struct Bed {
    storage: Storage,
    parent: PathBuf,
}

impl Bed {
    /// A fresh directory.
    fn directory(&self) -> TempDir {
        tempfile::tempdir_in(&self.parent).expect("a directory")
    }

    fn ours(&self, export: Export, directory: &Path) -> Run {
        let directory = directory.display().to_string();
        let args = ["download", &export.path(), "--dir", &directory, "--force"];
        Run::ours(&args, &self.storage.url(), &self.parent)
    }

    fn curl(&self, export: Export, directory: &Path) -> Run {
        let mut args = ["--fail", "-s", "--parallel", "--parallel-max", "8"].map(str::to_owned).to_vec();
        for (n, link) in (1..).zip(self.storage.links(export)) {
            args.extend(["-o".to_owned(), directory.join(n.to_string()).display().to_string(), link]);
        }
        Run::new("curl", &args, &self.parent)
    }
}

/// Panics unless a directory holds the parts of an export and their manifest.
fn check(directory: &Path, export: Export, sha256: &str) {
    let manifest = std::fs::read(directory.join("manifest.json")).expect("a manifest");
    let manifest: Value = serde_json::from_slice(&manifest).expect("a manifest in JSON");
    let files = manifest["files"].as_array().expect("files in the manifest");
    assert_eq!(files.len() as u64, export.parts, "files in the manifest");
    for file in files {
        assert_eq!(file["file_size"], export.part_bytes, "{file}");
        assert_eq!(file["sha256"], sha256, "{file}");
        assert_eq!(file["rows"], file["row_count"], "{file}");
        let path = directory.join(file["name"].as_str().expect("a name"));
        assert_eq!(sha256_of(&path), sha256, "{}", path.display());
    }
}

/// The SHA-256 of a file.
fn sha256_of(path: &Path) -> String {
    let mut hasher = Hasher::new();
    std::io::copy(&mut File::open(path).expect("a file"), &mut hasher).expect("its content");
    hasher.finish()
}

fn listed(values: &[f64]) -> String {
    values.iter().map(|value| format!("{value:.2}")).collect::<Vec<_>>().join(", ")
}
