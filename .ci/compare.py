"""What happens to clients of an export on a bad day: the table of README's "Why not a curl loop?".

python3 .ci/compare.py PROGRAM [WORD]   prints a row for each fault (whose name has WORD), with a column for each client
python3 .ci/compare.py --check PROGRAM  compares README's table with what the installed clients do now, all but the memory

PROGRAM is snyk-export. The others are a bash loop of curl and jq, wait4x, a waiter of botocore, and a script with
requests; a client that is not installed is `-`. Each may take 20 s.
"""

import concurrent.futures

import http.server
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time

LIMIT = 20
PATH = "/rest/groups/11111111-2222-4333-8444-555555555555/jobs/export/7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b"

LOOP = """while :; do
  status=$(curl -fsS -H "Authorization: token t" "$1" | jq -r .data.attributes.status)
  case $status in FINISHED) exit 0 ;; ERROR*) exit 1 ;; esac
  sleep 2
done"""

SCRIPT = """import requests, sys, time
while True:
    answer = requests.get(sys.argv[1], headers={"Authorization": "token t"})
    answer.raise_for_status()
    status = answer.json()["data"]["attributes"]["status"]
    if status == "FINISHED": sys.exit(0)
    if status.startswith("ERROR"): sys.exit(1)
    time.sleep(2)"""

WAITER = """import sys
from botocore import UNSIGNED
from botocore.config import Config
from botocore.session import Session
client = Session().create_client("export", region_name="us-east-1", endpoint_url=sys.argv[1],
                                 config=Config(signature_version=UNSIGNED))
client.get_waiter("export_finished").wait()"""

SERVICE = {
    "version": "2.0",
    "metadata": {"apiVersion": "2024-10-15", "endpointPrefix": "export", "protocol": "rest-json", "serviceId": "Export",
                 "serviceFullName": "Export", "signatureVersion": "v4", "uid": "export-2024-10-15"},
    "operations": {"GetExport": {"name": "GetExport", "http": {"method": "GET", "requestUri": PATH},
                                 "output": {"shape": "Answer"}}},
    "shapes": {
        "Answer": {"type": "structure", "members": {"data": {"shape": "Data"}}},
        "Data": {"type": "structure", "members": {"attributes": {"shape": "Attributes"}}},
        "Attributes": {"type": "structure", "members": {"status": {"shape": "Word"}}},
        "Word": {"type": "string"},
    },
}


def acceptor(word, state):
    return {"matcher": "path", "argument": "data.attributes.status", "expected": word, "state": state}


WAITERS = {"version": 2, "waiters": {"ExportFinished": {
    "operation": "GetExport", "delay": 2, "maxAttempts": 100,
    "acceptors": [acceptor("FINISHED", "success"), acceptor("ERRORED", "failure")],
}}}


def document(status):
    return 200, {}, json.dumps({"jsonapi": {"version": "1.0"}, "data": {"type": "export_job", "attributes": {
        "status": status}}}).encode()


def answer(fault, number, since):
    """The answer to a request: its number, and the seconds since the first one."""
    if fault == "ERRORED":
        return document("PENDING" if since < 2 else "ERRORED")
    if fault == "401 for ever":
        return 401, {}, b'{"errors":[{"status":"401","code":"SNYK-0005","title":"Authentication error"}]}'
    if fault == "three 500s" and number <= 3:
        return 500, {}, b"{}"
    if fault == "no answer" and number == 1:
        return None
    if fault == "429, Retry-After: 5" and number == 1:
        return 429, {"Retry-After": "5"}, b"{}"
    if fault == "an HTML page" and number == 1:
        return 200, {"Content-Type": "text/html"}, b"<html>Please log in</html>"
    if fault == "a body of 200 MB":
        return 200, {}, b'{"data":"' + b"x" * 200_000_000 + b'"}'
    return document("FINISHED")


FAULTS = ["ERRORED", "401 for ever", "three 500s", "no answer", "429, Retry-After: 5", "an HTML page", "a body of 200 MB"]


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, fault):
        super().__init__(("127.0.0.1", 0), Handler)
        self.fault, self.times, self.lock = fault, [], threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        pass


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        with self.server.lock:
            self.server.times.append(time.monotonic())
            times = list(self.server.times)
        reply = answer(self.server.fault, len(times), times[-1] - times[0])
        if reply is None:
            time.sleep(LIMIT * 2)
            return
        code, headers, body = reply
        self.send_response(code)
        for name, value in {"Content-Type": "application/vnd.api+json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def clients(program, folder):
    """The command of each client; `None` if it is not installed."""
    models = pathlib.Path(folder, "export/2024-10-15")
    models.mkdir(parents=True)
    (models / "service-2.json").write_text(json.dumps(SERVICE))
    (models / "waiters-2.json").write_text(json.dumps(WAITERS))
    python = lambda module, script: lambda url: [sys.executable, "-c", script, url] if has(module) else None
    wait4x = lambda url: ["wait4x", "http", url, "-t", f"{LIMIT}s", "--expect-body-regex", '"status": *"FINISHED"']
    has_loop = all(map(shutil.which, ("bash", "curl", "jq")))
    return {
        "bash loop of curl and jq": lambda url: ["bash", "-c", LOOP, "loop", url + PATH] if has_loop else None,
        "wait4x": lambda url: wait4x(url + PATH) if shutil.which("wait4x") else None,
        "waiter of botocore": python("botocore", WAITER),
        "script with requests": lambda url: python("requests", SCRIPT)(url + PATH),
        "snyk-export": lambda url: [program, "wait", "-q", "--api", url, "--request-timeout", "5s", PATH],
    }


def has(module):
    return subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True).returncode == 0


def memory(process):
    """The largest peak memory of a process and those that it has started, in KiB."""
    place = pathlib.Path(f"/proc/{process}")
    try:
        peak = int((place / "status").read_text().partition("VmHWM:")[2].split()[0])
        children = (place / f"task/{process}/children").read_text().split()
    except (OSError, IndexError):
        return 0  # It has ended meanwhile.
    return max([peak, *map(memory, children)])


def start(words, folder):
    environment = {"PATH": os.environ["PATH"], "HOME": folder, "AWS_DATA_PATH": folder, "SNYK_TOKEN": "t"}
    return subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                            start_new_session=True)


def run(fault, command, folder, cells, name):
    server = Server(fault)
    words = command(f"http://127.0.0.1:{server.server_port}")
    if words is None:
        cells[name] = "-"
        return
    began = time.monotonic()
    child = start(words, folder)
    threading.Timer(LIMIT, lambda: child.returncode is None and os.killpg(child.pid, 9)).start()
    peak = 0
    while child.poll() is None:
        peak = max(peak, memory(child.pid))
        time.sleep(0.01)
    took = time.monotonic() - began
    end = "still polls" if len(server.times) > 1 else "hangs"
    cell = f"{end} after {LIMIT} s" if child.returncode == -9 else f"exit {child.returncode} after {took:.1f} s"
    if fault.startswith("429") and len(server.times) > 1:
        cell += f", asked again after {server.times[1] - server.times[0]:.1f} s"
    if "200 MB" in fault:
        cell = f"{peak // 1024} MiB"
    cells[name] = cell
    server.shutdown()


def table():
    """README's cells: for each fault, what each client does."""
    section = (pathlib.Path(__file__).parent.parent / "README.md").read_text().partition("## Why not a curl loop?")[2]
    lines = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("|")]
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: dict(zip(head[1:], row[1:])) for row in rows}


def within(limit, is_so):
    """Whether it becomes so within the limit, in seconds."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if is_so():
            return True
        time.sleep(0.02)
    return is_so()


def differs(fault, name, cell, words, server, folder):
    """How a client differs from its cell; None if it does not, or is not installed."""
    if words is None:
        return None
    patience = 3 * LIMIT  # Nothing here depends on a fast machine.
    child = start(words, folder)
    try:
        if cell.startswith("polls"):
            is_so = within(patience, lambda: len(server.times) > 2 or child.poll() is not None) and child.poll() is None
        elif cell == "hangs":
            is_so = within(patience, lambda: server.times) and not within(4, lambda: child.poll() is not None or len(server.times) > 1)
        elif cell.startswith("asks after "):
            said = float(cell.split()[2])
            is_so = within(patience, lambda: len(server.times) > 1)
            is_so = is_so and said - 0.5 <= server.times[1] - server.times[0] <= said + 5
        else:
            code = 0 if cell == "ready" else int(cell.removeprefix("exit "))
            is_so = within(patience, lambda: child.poll() is not None) and child.returncode == code
        return None if is_so else f"{fault}, {name}: README says `{cell}`, but it ended with {child.poll()} after {len(server.times)} requests"
    finally:
        if child.poll() is None:
            os.killpg(child.pid, 9)
        child.wait()
        server.shutdown()


def check(program):
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(6) as pool:
        all_clients, rows, trials = clients(os.path.abspath(program), folder), table(), []
        for fault, cells in rows.items():
            if set(cells) != set(all_clients):
                raise SystemExit(f"README's table has the columns {', '.join(cells)}")
            for name, cell in cells.items():
                if "MiB" not in cell:
                    server = Server(fault)
                    words = all_clients[name](f"http://127.0.0.1:{server.server_port}")
                    trials.append(pool.submit(differs, fault, name, cell, words, server, folder))
        differences = [found for found in (trial.result() for trial in trials) if found]
    if differences:
        raise SystemExit("\n".join(differences))
    print(f"{len(trials)} cells are as README says")


def main(program, word=""):
    with tempfile.TemporaryDirectory() as folder:
        all_clients = clients(os.path.abspath(program), folder)
        print("| | " + " | ".join(all_clients) + " |\n|" + "---|" * (len(all_clients) + 1))
        for fault in (fault for fault in FAULTS if word in fault):
            cells = {}
            threads = [threading.Thread(target=run, args=(fault, command, folder, cells, name))
                       for name, command in all_clients.items()]
            for thread in threads:
                thread.start()
                if "200 MB" in fault:  # which takes all of the machine
                    thread.join()
            for thread in threads:
                thread.join()
            print(f"| {fault} | " + " | ".join(cells[name] for name in all_clients) + " |", flush=True)


if sys.argv[1] == "--check":
    check(*sys.argv[2:])
else:
    main(*sys.argv[1:])
