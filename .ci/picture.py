"""Draws the README's picture: what `snyk-export demo` writes to a terminal of 80 columns, as two SVG files, for light and
dark pages.

python3 .ci/picture.py PROGRAM         writes docs/images/demo-light.svg and docs/images/demo-dark.svg
python3 .ci/picture.py --text FILE     prints the text of a picture
python3 .ci/picture.py --screen PROGRAM   prints what the program writes now, with which a test compares it
"""

import os
import pathlib
import pty
import re
import struct
import subprocess
import sys
import termios
import fcntl
import xml.etree.ElementTree as ElementTree
from xml.sax.saxutils import escape

COLUMNS, COMMAND = 80, "snyk-export demo"
# The colours of GitHub's light and dark pages: ground, text, and the eight colours of a terminal.
THEMES = {
    "light": ("#ffffff", "#1f2328", ["#1f2328", "#cf222e", "#1a7f37", "#9a6700", "#0969da", "#8250df", "#1b7c83", "#59636e"]),
    "dark": ("#0d1117", "#e6edf3", ["#484f58", "#ff7b72", "#3fb950", "#d29922", "#58a6ff", "#bc8cff", "#39c5cf", "#9198a1"]),
}


def written(program):
    """What the program writes to a terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment = {**kept, "TERM": "xterm-256color", "LANG": "C.UTF-8", "TZ": "UTC"}
    child = subprocess.Popen([program, "demo"], stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    chunks = []
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # Linux says so when the other end is closed.
            break
        if not chunk:
            break
        chunks.append(chunk)
    if child.wait() != 0:
        raise SystemExit(f"the demo has failed: {child.returncode}")
    return b"".join(chunks).decode()


def screen(text):
    """The screen after the text: rows of cells, each a character and its style (bold, faint, colour)."""
    rows, row, column, style = [[]], 0, 0, (False, False, None)
    for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b.|[\s\S]", text):
        if token.startswith("\x1b["):
            numbers = [int(number) for number in re.findall(r"\d+", token)]
            kind = token[-1]
            if kind == "m":
                style = styled(style, numbers or [0])
            elif kind == "A":
                row = max(0, row - (numbers or [1])[0])
            elif kind == "B":
                row += (numbers or [1])[0]
            elif kind == "G":
                column = (numbers or [1])[0] - 1
            elif kind == "K":
                rows[row] = [] if numbers[:1] == [2] else rows[row][:column]
            elif kind == "J":
                rows[row] = rows[row][:column]
                del rows[row + 1:]
        elif token == "\r":
            column = 0
        elif token == "\n":
            row += 1
        elif not token.startswith("\x1b") and token >= " ":
            # A terminal begins a new row only for the character after the last column.
            if column == COLUMNS:
                row, column = row + 1, 0
            while len(rows) <= row:
                rows.append([])
            line = rows[row]
            line.extend([(" ", (False, False, None))] * (column + 1 - len(line)))
            line[column] = (token, style)
            column += 1
        while len(rows) <= row:
            rows.append([])
    while rows and not any(char.strip() for char, _ in rows[-1]):
        rows.pop()
    return rows


def styled(style, numbers):
    bold, faint, colour = style
    for number in numbers:
        if number == 0:
            bold, faint, colour = False, False, None
        elif number in (1, 2):
            bold, faint = bold or number == 1, faint or number == 2
        elif number == 22:
            bold, faint = False, False
        elif 30 <= number <= 37 or 90 <= number <= 97:
            colour = number % 10
        elif number == 39:
            colour = None
    return bold, faint, colour


def svg(rows, theme):
    ground, plain, colours = THEMES[theme]
    width, height, left, top = 8.43, 20, 16, 44
    whole = round(COLUMNS * width + 2 * left), top + height * len(rows) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole[0]} {whole[1]}" '
        f'font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="14" fill="{plain}">',
        f"<title>A run of {COMMAND}</title>",
        # The line around it is drawn on both sides of its edge.
        f'<rect x="0.5" y="0.5" width="{whole[0] - 1}" height="{whole[1] - 1}" rx="8" fill="{ground}" stroke="{colours[7]}" stroke-opacity="0.4"/>',
    ]
    for index, colour in enumerate((colours[1], colours[3], colours[2])):
        parts.append(f'<circle cx="{20 + 18 * index}" cy="18" r="5" fill="{colour}"/>')
    for index, row in enumerate(rows):
        spans, at = [], 0
        while at < len(row):
            style = row[at][1]
            end = at
            while end < len(row) and row[end][1] == style:
                end += 1
            text = "".join(char for char, _ in row[at:end])
            bold, faint, colour = style
            looks = (' font-weight="bold"' if bold else "") + (' opacity="0.65"' if faint else "")
            looks += f' fill="{colours[colour]}"' if colour is not None else ""
            spans.append(f'<tspan x="{left + at * width:.1f}"{looks}>{escape(text)}</tspan>')
            at = end
        y = top + height * (index + 0.5)
        parts.append(f'<text y="{y:.0f}" xml:space="preserve">{"".join(spans)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def text_of(path):
    """The lines of a picture, without the command."""
    lines = []
    for element in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text"):
        line = ""
        for span in element:
            column = round((float(span.get("x")) - 16) / 8.43)
            line = line.ljust(column) + (span.text or "")
        lines.append(line.rstrip())
    return lines


def main(arguments):
    if arguments[:1] == ["--text"]:
        print("\n".join(text_of(arguments[1])))
        return
    prompt = [(char, (False, char == "$", None)) for char in f"$ {COMMAND}"]
    if arguments[:1] == ["--screen"]:
        print("\n".join("".join(char for char, _ in row).rstrip() for row in [prompt, *screen(written(arguments[1]))]))
        return
    rows = [prompt, *screen(written(arguments[0]))]
    images = pathlib.Path(__file__).parent.parent / "docs/images"
    images.mkdir(exist_ok=True)
    for theme in THEMES:
        (images / f"demo-{theme}.svg").write_text(svg(rows, theme))


main(sys.argv[1:])
