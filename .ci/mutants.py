#!/usr/bin/env python3
"""Breaks the core in small ways and sees that a unit test notices each: python3 .ci/mutants.py [PART OF A NAME, SUCH AS A FILE …]

`cargo mutants` says what to break (.cargo/mutants.toml says where), but it builds and links the whole library once for
each mutant, which takes twenty seconds. So this builds many at once: a crate that holds the core alone, and beside it one
copy for each mutant of the module that the mutant is in, unit tests included. A copy that does not compile is not a mutant.
Each copy's tests run in a process of their own, with a time limit. What the tests of its own module let pass is tried
again with a copy of the whole core, since other modules' tests may notice.

What the core needs of the rest of the program is cut out of it (functions of src/http.rs) or empty (the SQLite store, the
couriers). The result is a table, and the list of what survived; it exits with 2 if anything did.
"""

import collections
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPY = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "mutants"
MODULES = ["clock", "duration", "event", "exit", "export", "http", "manifest", "moment", "request", "runner", "secret", "snyk", "store", "text",
           "watch"]
FOLDERS = ["request", "runner", "store", "text", "secret", "watch"]
SNYK = ["problem", "region", "throttle", "wire"]
OF_HTTP = ["EXCERPT_CHARS", "excerpt", "retry_after", "answered_at", "date", "seconds"]
CRATES = ["backoff", "base64", "fastrand", "futures-util", "httpdate", "humantime", "jiff", "memchr", "proptest", "rustix", "secrecy",
          "serde", "serde_json", "thiserror", "tracing", "url", "uuid"]
SECONDS = 20  # of CPU, for the tests of a copy
IDLE_SECONDS = 120
LINES_AT_ONCE = 60_000

HTTP = """
mod loopback;
pub(crate) use self::loopback::is_loopback;
use std::time::{Duration, SystemTime};
use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use crate::clock::Clock;
use crate::moment::Moment;
use crate::text::Text;
"""

MANIFEST = """
[package]
name = "snyk-export"
version = "0.1.0"
edition = "2024"
[dependencies]
tokio = { version = "1", features = ["macros", "rt", "sync", "time", "test-util"] }
reqwest = { package = "http", version = "1" } # its headers are those of this crate
DEPENDENCIES
[profile.dev]
debug = false
incremental = false
[profile.dev.package."*"]
opt-level = 2
[workspace]
"""


def core():
    """The files of the core: their paths below src, and their text."""
    source = ROOT / "src"
    files = {f"{name}.rs": (source / f"{name}.rs").read_text() for name in MODULES if name not in ("http", "snyk")}
    for path in (path for folder in FOLDERS for path in source.glob(f"{folder}/**/*.rs")):
        files[str(path.relative_to(source))] = path.read_text()
    files = {path: text for path, text in files.items() if not path.startswith(("store/sqlite", "store/tests"))}
    # The tests of stores need SQLite, and so does opening one.
    store = re.sub(r"^pub (async )?fn (open|check)\(.*?^}$", "", files["store.rs"], flags=re.M | re.S)
    files["store.rs"] = store.replace("#[cfg(test)]\nmod tests;\n", "")
    files |= {f"snyk/{name}.rs": (source / "snyk" / f"{name}.rs").read_text() for name in SNYK}
    files["snyk.rs"] = "".join(f"pub mod {name};\n" for name in SNYK)
    names = ["Checked", "OpenError", "SqliteStore", "Keeper", "Keeping"]
    files["store/sqlite.rs"] = "".join(f"pub struct {name};\n" for name in names)
    http = (source / "http.rs").read_text()
    item = r"^(?:pub\(crate\) )?(?:const NAME:.*?;$|fn NAME\(.*?^}$)"
    files["http.rs"] = HTTP + "\n".join(
        re.search(item.replace("NAME", name), http, re.M | re.S).group() for name in OF_HTTP)
    files["http/loopback.rs"] = (source / "http/loopback.rs").read_text()
    return files


def module_of(path):
    return path.split("/")[0].removesuffix(".rs")


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def mutants(files, wanted):
    """The mutants that `cargo mutants` would make."""
    shutil.rmtree(COPY / "src", ignore_errors=True)
    for path, text in files.items():
        write(COPY / "src" / path, text)
    write(COPY / "src/lib.rs", "".join(f"pub mod {name};\n" for name in MODULES))
    manifest = (ROOT / "Cargo.toml").read_text()
    lines = [re.search(rf"^{crate} = .*$", manifest, re.M).group() for crate in CRATES]
    write(COPY / "Cargo.toml", MANIFEST.replace("DEPENDENCIES", "\n".join(lines)))
    shutil.copy(ROOT / "Cargo.lock", COPY)
    command = ["cargo", "mutants", "--list", "--json", "--diff", "--dir", COPY, "--config", ROOT / ".cargo/mutants.toml"]
    listed = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return [mutant for mutant in listed if not wanted or any(part in mutant["name"] for part in wanted)]


def broken(text, diff):
    """The text with a diff applied."""
    lines, out, at = text.split("\n"), [], 0
    for line in diff.splitlines()[2:]:
        if line.startswith("@@"):
            start = int(re.match(r"@@ -(\d+)", line).group(1)) - 1
            out += lines[at:start]
            at = start
        elif line.startswith("+"):
            out.append(line[1:])
        elif line.startswith((" ", "-")):
            out += [lines[at]] if line[0] == " " else []
            at += 1
    return "\n".join(out + lines[at:])


def copy(number, files, mutant, modules):
    """Writes a copy of these modules with one mutant. Returns how many lines it has."""
    name, count = f"m{number:04}", 0
    for path, text in files.items():
        if module_of(path) in modules:
            if mutant and "src/" + path == mutant["file"]:
                text = broken(text, mutant["diff"])
            text = re.sub(rf"\bcrate::({'|'.join(modules)})\b", rf"crate::{name}::\1", text)
            text = re.sub(rf"\bcrate::\{{", rf"crate::{name}::{{", text)
            write(COPY / "src" / name / path, text)
            count += text.count("\n")
    write(COPY / f"src/{name}.rs", "".join(f"pub mod {module};\n" for module in modules))
    return count


def build(numbers):
    """Builds the tests of these copies. Returns the program, and the copies that do not compile."""
    unviable = set()
    while True:
        mods = "".join(f"#[cfg(test)] mod m{number:04};\n" for number in numbers if number not in unviable)
        base = "".join(f"pub mod {name};\n" for name in MODULES)
        write(COPY / "src/lib.rs", f"#![allow(warnings)]\n#![recursion_limit = \"512\"]\n{base}{mods}")
        command = ["cargo", "test", "--lib", "--no-run", "--offline", "--message-format=json"]
        ran = subprocess.run(command, cwd=COPY, capture_output=True, text=True, env=os.environ | {
            "CARGO_TARGET_DIR": str(COPY / "target")})
        messages = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
        if ran.returncode == 0:
            return next(message["executable"] for message in messages if message.get("executable")), unviable
        errors = [message["message"] for message in messages
                  if message["reason"] == "compiler-message" and message["message"]["level"] == "error"]
        spans = [span["file_name"] for error in errors for span in spans_of(error)]
        found = {int(match.group(1)) for span in spans if (match := re.match(r"src/m(\d{4})[./]", span))}
        if not found - unviable:
            sys.exit("\n".join(error["rendered"] for error in errors[:5]) + ran.stderr[-2000:])
        unviable |= found


def spans_of(error):
    spans = list(error["spans"])
    for span in error["spans"]:
        while span := span.get("expansion") and span["expansion"]["span"]:
            spans.append(span)
    return spans


def run(program, number):
    """Whether the tests of a copy notice: caught, timeout or missed. The first test that fails is enough."""
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    command = [program, f"m{number:04}::", "--test-threads=2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, preexec_fn=limit,
                          cwd=COPY) as tests:
        idle = threading.Timer(IDLE_SECONDS, tests.kill)
        idle.start()
        failed = False
        for line in tests.stdout:
            assert line != "running 0 tests\n", "a copy without tests says nothing"
            if failed := line.endswith("FAILED\n"):
                tests.kill()
                break
        idle.cancel()
    if failed:
        return "caught"
    # It used up its time, or waits for something that never happens.
    if tests.returncode in (-signal.SIGKILL, -signal.SIGXCPU):
        return "timeout"
    return "caught" if tests.returncode else "missed"


def attempt(files, batch, modules_of):
    """Tries a batch of mutants, each with copies of the modules that `modules_of` names. Returns the result of each."""
    for old in COPY.glob("src/m[0-9]*"):
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    # Copy 0 has no mutant: its tests must pass.
    copy(0, files, None, sorted({module for mutant in batch for module in modules_of(mutant)}))
    for number, mutant in enumerate(batch, 1):
        copy(number, files, mutant, modules_of(mutant))
    program, unviable = build(range(len(batch) + 1))
    assert run(program, 0) == "missed", "the tests fail without any mutant"
    results = {}
    for number, mutant in enumerate(batch, 1):
        result = "unviable" if number in unviable else run(program, number)
        results[mutant["name"]] = result
        print(f"{result:8} {mutant['name']}", flush=True)
    return results


def batches(files, todo, modules_of):
    """The mutants in batches that the compiler can handle."""
    batch, lines = [], 0
    for mutant in todo:
        modules = modules_of(mutant)
        size = sum(text.count("\n") for path, text in files.items() if module_of(path) in modules)
        if batch and (lines + size > LINES_AT_ONCE or modules_of(batch[0]) != modules):
            yield batch
            batch, lines = [], 0
        batch.append(mutant)
        lines += size
    if batch:
        yield batch


def main():
    os.nice(5)
    files = core()
    todo = mutants(files, sys.argv[1:])
    # A copy of all modules shows what the tests of other modules notice. Stores have no tests of their own here.
    whole = lambda mutant: MODULES
    own = lambda mutant: whole(mutant) if "store/" in mutant["file"] else [module_of(mutant["file"].removeprefix("src/"))]
    results = {}
    for modules_of in [own, whole]:
        left = [mutant for mutant in todo if results.get(mutant["name"], "missed") == "missed"]
        for batch in batches(files, left, modules_of):
            results |= attempt(files, batch, modules_of)
    table = collections.defaultdict(collections.Counter)
    for mutant in todo:
        table[mutant["file"]][results[mutant["name"]]] += 1
        table["all"][results[mutant["name"]]] += 1
    print(f"\n| {'file':28} | mutants | caught | timeout | unviable | missed |\n|---|--:|--:|--:|--:|--:|")
    for name, row in sorted(table.items()):
        cells = [row.total(), row["caught"], row["timeout"], row["unviable"], row["missed"]]
        print(f"| {name:28} | " + " | ".join(map(str, cells)) + " |")
    missed = [mutant["name"] for mutant in todo if results[mutant["name"]] == "missed"]
    print("\n" + "\n".join(missed))
    sys.exit(2 if missed else 0)


main()
