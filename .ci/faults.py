"""Puts all faults of a list into a copy of the program, each behind a switch that only the copy has.

python3 .ci/faults.py LIST COPY [PATTERN] prints the number and the name of each fault that PATTERN is part of.
"""

import pathlib
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


def main(faults, copy, pattern=""):
    copy = pathlib.Path(copy)
    faults = tomllib.loads(pathlib.Path(faults).read_text())["fault"]
    before = {}
    for number, fault in enumerate(faults):
        path = copy / fault["file"]
        before.setdefault(path, path.read_text())
        if before[path].count(fault.get("after", "") + fault["old"]) != 1:
            sys.exit(f"{fault['name']}: its text does not stand in {fault['file']} exactly once")
        path.write_text(put_in(path.read_text(), number, fault))
        if pattern in fault["name"]:
            print(number, fault["name"])
    lib = copy / "src/lib.rs"
    lib.write_text(lib.read_text() + SWITCH)


main(*sys.argv[1:])
