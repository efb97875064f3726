"""A receiver of notifications with none of our code: it verifies signatures with the reference library of Standard Webhooks, and
reads events with the SDK of CloudEvents. .ci/notify runs it.

    receiver.py serve DIRECTORY           saves each request in DIRECTORY, and refuses the first one of each webhook-id
    receiver.py check DIRECTORY EXPORT…   checks that the requests in DIRECTORY are the right ones for these exports
"""

import base64
import itertools
import json
import pathlib
import secrets
import sys
import threading
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cloudevents.core.bindings import http
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

MEDIA_TYPE = "application/cloudevents+json; charset=utf-8"


class Receiver(BaseHTTPRequestHandler):
    """Refuses the first request of each webhook-id, like a receiver that is being restarted."""

    protocol_version = "HTTP/1.1"
    directory = pathlib.Path()
    # Requests are handled by a thread each: a number that is counted from the files would be given twice.
    numbers = itertools.count()
    lock = threading.Lock()
    seen = set()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        kept = {"path": self.path, "headers": headers, "body": base64.b64encode(body).decode()}
        delivery = headers.get("webhook-id", "none")
        with self.lock:
            number = next(self.numbers)
            first = delivery not in self.seen
            self.seen.add(delivery)
        (self.directory / f"{number:03}.json").write_text(json.dumps(kept))
        answer = 500 if self.path == "/webhook" and first else 204
        self.send_response(answer)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def serve(directory):
    Receiver.directory = directory
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    print(f"receiving on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


def check(directory, exports):
    requests = [json.loads(file.read_text()) for file in sorted(directory.glob("*.json"))]
    for request in requests:
        request["body"] = base64.b64decode(request["body"])
    keys = (directory.parent / "keys").read_text().split()
    for export in exports:
        of_export = [request for request in requests if export in request["body"].decode()]
        check_webhook([request for request in of_export if request["path"] == "/webhook"], keys, export)
        check_slack([request for request in of_export if request["path"] == "/slack"], export)
        check_command(directory.parent, export)
    print(f"{len(requests)} requests are correct")


def check_webhook(requests, keys, export):
    # It was refused once, and sent again with the same id.
    assert len(requests) == 2, f"{len(requests)} requests for {export}"
    first, second = requests
    assert first["headers"]["webhook-id"] == second["headers"]["webhook-id"]
    assert first["body"] == second["body"]
    assert int(first["headers"]["webhook-timestamp"]) <= int(second["headers"]["webhook-timestamp"])
    for request in requests:
        check_signature(request, keys)
        check_event(request, export)


def check_signature(request, keys):
    assert len(keys) == 2, "one key is being replaced by another"
    for key in keys:
        Webhook(key).verify(request["body"], request["headers"])
    wrong = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    must_refuse(Webhook(wrong), request["body"], request["headers"])
    must_refuse(Webhook(keys[0]), request["body"] + b" ", request["headers"])
    later = str(int(request["headers"]["webhook-timestamp"]) + 1)
    for name, value in [("webhook-id", "msg_other"), ("webhook-timestamp", later)]:
        must_refuse(Webhook(keys[0]), request["body"], {**request["headers"], name: value})


def must_refuse(webhook, body, headers):
    try:
        webhook.verify(body, headers)
    except WebhookVerificationError:
        return
    raise AssertionError("a wrong signature was accepted")


def check_event(request, export):
    assert request["headers"]["content-type"] == MEDIA_TYPE, request["headers"]
    assert not any(name.startswith("ce-") for name in request["headers"])
    event = http.from_structured_event(http.HTTPMessage(request["headers"], request["body"]))
    assert event.get_specversion() == "1.0"
    assert event.get_type() == "io.snyk-export.watch.finished"
    assert event.get_source() == "/snyk-export/accounts/default"
    assert event.get_subject() == export
    assert event.get_datacontenttype() == "application/json"
    assert abs(datetime.now(timezone.utc) - event.get_time()) < timedelta(minutes=5)
    assert event.get_id() in request["headers"]["webhook-id"]
    data = event.get_data()
    assert (data["outcome"], data["exit_code"], data["status"]) == ("finished", 0, "FINISHED"), data
    assert data["watch_id"] == event.get_id()
    assert (data["account"], data["labels"]) == ("default", {"team": "payments <&>"}), data
    assert data["row_count"] == 10 and [part["url"] for part in data["results"]] == [None], data
    links = datetime.fromisoformat(data["links_expire_at"]) - event.get_time()
    assert timedelta(minutes=55) < links <= timedelta(minutes=60), links
    assert b"Signature" not in request["body"], "a signed link was told"


def check_slack(requests, export):
    assert len(requests) == 1, f"{len(requests)} messages for {export}"
    message = json.loads(requests[0]["body"])
    assert message["text"].startswith(f"*finished*: `{export}`\n"), message
    assert "10 rows" in message["text"] and "`team=payments &lt;&amp;&gt;`" in message["text"], message


def check_command(directory, export):
    given = directory / f"command-{export.rsplit('/', 1)[1]}"
    event = http.from_structured_event(http.HTTPMessage({"content-type": MEDIA_TYPE}, given.read_bytes()))
    assert event.get_subject() == export
    lines = pathlib.Path(f"{given}.env").read_text().splitlines()
    environment = dict(line.split("=", 1) for line in lines if "=" in line)
    assert environment["SNYK_EXPORT_RESULT_OUTCOME"] == "finished"
    assert environment["SNYK_EXPORT_RESULT_EXPORT_ID"] == event.get_data()["export"]["export_id"]
    assert environment["SNYK_EXPORT_RESULT_ROW_COUNT"] == "10"
    assert environment["NOTIFY_CHECK"] == "listed"
    assert not {"SNYK_TOKEN", "NOTIFY_SECRET"} & set(environment), "a command was given what its settings do not list"


if __name__ == "__main__":
    command, directory, *exports = sys.argv[1:]
    if command == "serve":
        serve(pathlib.Path(directory))
    else:
        check(pathlib.Path(directory), exports)
