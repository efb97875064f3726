"""Puts all faults of a list into a copy of the program, each behind a switch that only the copy has, and leaves out what the
simulation does not need, so that the copy is soon built.

python3 .ci/faults.py LIST COPY [PATTERN] prints the number and the name of each fault that PATTERN is part of.
"""

import pathlib
import re
import sys
import tomllib

SWITCH = """
pub(crate) mod fault {
    /// Whether the fault of this number is to be there.
    pub(crate) fn is(number: usize) -> bool {
        static CHOSEN: std::sync::LazyLock<usize> =
            std::sync::LazyLock::new(|| std::env::var("FAULT").map_or(usize::MAX, |text| text.parse().unwrap()));
        *CHOSEN == number
    }
}
"""


def put_in(text, number, fault):
    old, new = fault["old"], fault["new"].strip()
    place = fault.get("after", "") + old
    # What an earlier fault has wrapped stands last in its switch.
    start = text.rindex(place) + len(place) - len(old)
    switch = f"if crate::fault::is({number}) {{ {new} }} else {{ {old} }}"
    if not old.endswith(";"):
        switch = f"({switch})"
    return text[:start] + switch + text[start + len(old):]


def files(src, module):
    return [path for path in [src / f"{module}.rs", *(src / module).rglob("*.rs")] if path.exists()]


def leave_out(src):
    """Leaves out unit tests, and the modules that the simulation does not reach."""
    for path in src.rglob("*.rs"):
        if path.parent.name != "simulation" and path.name != "simulation.rs":
            path.write_text(re.sub(r"#\[cfg\(test\)\]\nmod tests(;|\s*\{.*)", "", path.read_text(), flags=re.DOTALL))
    reached, open_ones = set(), ["simulation"]
    while open_ones:
        module = open_ones.pop()
        if module not in reached:
            reached.add(module)
            text = "".join(path.read_text() for path in files(src, module))
            open_ones += re.findall(r"\bcrate::(\w+)", text)
    lib = src / "lib.rs"
    is_reached = lambda line: not (found := re.match(r"(?:pub )?mod (\w+);", line)) or found[1] in reached
    lines = [line for line in lib.read_text().splitlines() if is_reached(line) and not line.startswith("pub use")]
    lib.write_text("\n".join(lines) + "\n")


def main(faults, copy, pattern=""):
    copy = pathlib.Path(copy)
    faults = tomllib.loads(pathlib.Path(faults).read_text())["fault"]
    leave_out(copy / "src")
    before = {}
    for number, fault in enumerate(faults):
        place, text = copy / fault["file"], fault.get("after", "") + fault["old"]
        paths = list(place.rglob("*.rs")) if place.is_dir() else [place]
        found = [path for path in paths for _ in range(before.setdefault(path, path.read_text()).count(text))]
        if len(found) != 1:
            sys.exit(f"{fault['name']}: its text does not stand in {fault['file']} exactly once")
        found[0].write_text(put_in(found[0].read_text(), number, fault))
        if pattern in fault["name"]:
            print(number, fault["name"])
    lib = copy / "src/lib.rs"
    lib.write_text(lib.read_text() + SWITCH)


main(*sys.argv[1:])
