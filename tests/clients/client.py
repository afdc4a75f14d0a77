"""Drives the sandbox with Stripe's client for Python.

Arguments: the sandbox's origin, then optionally a receiver's address, its webhook secret and
what second it is there.
"""

import hashlib
import hmac
import json
import sys
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Queue

import stripe

BASE = sys.argv[1]
RECEIVER = sys.argv[2:5]
SECRET = "whsec_of_the_python_client"
PATH = "/v1/identity/verification_sessions"


def connect(key, retries=0):
    return stripe.StripeClient(key, base_addresses={"api": BASE}, max_network_retries=retries)


client = connect("sk_test_python")
restricted = connect("rk_test_python")
sessions = client.v1.identity.verification_sessions


def post(url, body, headers):
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def control(path, body):
    status, answer = post(BASE + path, json.dumps(body).encode(), {"content-type": "application/json"})
    assert status < 300, (path, status, answer)
    return json.loads(answer)


def outcome(session, case, code=None):
    return control(f"/_sessions/{session.id}/outcome", {"case": case, "code": code})


def fault(**one):
    control("/_faults", one)


def refused(kind, call, **expected):
    try:
        call()
    except kind as error:
        for name, value in expected.items():
            assert getattr(error, name) == value, (name, getattr(error, name))
        return
    raise AssertionError(f"{kind.__name__} was not raised")


def create_retrieve_update_cancel():
    created = sessions.create(
        {
            "type": "document",
            "options": {"document": {"allowed_types": ["passport", "id_card"], "require_matching_selfie": True}},
            "metadata": {"attempt": "a-1"},
            "client_reference_id": "python-1",
            "return_url": "http://localhost:4242/submitted",
        }
    )
    assert created.status == "requires_input"
    assert created.options.document.allowed_types == ["passport", "id_card"]
    read = sessions.retrieve(created.id, {"expand": ["provided_details"]})
    assert read.client_secret != created.client_secret
    updated = sessions.update(created.id, {"metadata": {"attempt": "", "more": "b"}})
    assert updated.metadata.to_dict() == {"more": "b"}
    canceled = sessions.cancel(created.id)
    assert canceled.status == "canceled" and canceled.url is None


def list_with_filters_and_paging():
    made = []
    for _ in range(5):
        made.insert(0, sessions.create({"type": "document", "client_reference_id": "python-list"}).id)
    sessions.cancel(made[1])
    only = {"client_reference_id": "python-list", "limit": 2}
    first = sessions.list(only)
    assert first.has_more and [s.id for s in first.data] == made[:2]
    back = sessions.list({**only, "ending_before": made[2]})
    assert not back.has_more and [s.id for s in back.data] == made[:2]
    everything = list(sessions.list(only).auto_paging_iter())
    assert [s.id for s in everything] == made
    canceled = sessions.list({**only, "status": "canceled", "created": {"gte": everything[4].created}})
    assert [s.id for s in canceled.data] == [made[1]]


def reports_outputs_and_redaction():
    session = sessions.create({"type": "document", "metadata": {"who": "somebody"}})
    outcome(session, "failure", "document_expired")
    assert sessions.retrieve(session.id).last_error.code == "document_expired"
    outcome(session, "success")
    verified = sessions.retrieve(session.id, {"expand": ["verified_outputs", "last_verification_report"]})
    assert verified.verified_outputs.last_name == "Rosen"
    assert verified.last_verification_report.document.status == "verified"
    reports = client.v1.identity.verification_reports.list({"verification_session": session.id})
    assert len(reports.data) == 2
    report = restricted.v1.identity.verification_reports.retrieve(reports.data[0].id, {"expand": ["document.dob"]})
    assert report.document.dob.year == 1990
    assert sessions.redact(session.id).redaction.status == "processing"
    control(f"/_sessions/{session.id}/finish", {})
    redacted = sessions.retrieve(session.id)
    assert redacted.redaction.status == "redacted" and redacted.metadata.to_dict() == {}


def ephemeral_keys():
    session = sessions.create({"type": "document"})
    key = client.v1.ephemeral_keys.create(
        {"verification_session": session.id}, {"stripe_version": "2026-07-29.dahlia"}
    )
    assert key.secret.startswith("ek_test_")
    assert "secret" not in client.v1.ephemeral_keys.delete(key.id)


def events():
    session = sessions.create({"type": "document"})
    outcome(session, "success")
    types = ["identity.verification_session.created", "identity.verification_session.verified"]
    found = client.v1.events.list({"types": types, "limit": 2})
    assert [event.type for event in found.data] == types[::-1]
    event = client.v1.events.retrieve(found.data[0].id)
    assert event.data.object["id"] == session.id


def idempotent_replay():
    params, options = {"type": "document", "metadata": {"a": "1"}}, {"idempotency_key": "python-replay"}
    first = sessions.create(params, options)
    again = sessions.create(params, options)
    assert again.id == first.id
    assert again.last_response.headers["idempotent-replayed"] == "true"
    refused(stripe.IdempotencyError, lambda: sessions.create({"type": "id_number"}, options))


def each_class_of_error():
    refused(stripe.AuthenticationError, lambda: connect("sk_live_python").v1.events.list(), http_status=401)
    refused(stripe.AuthenticationError, lambda: connect("pk_test_python").v1.events.list(), http_status=401)
    invalid = stripe.InvalidRequestError
    refused(invalid, lambda: sessions.create({}), code="parameter_missing", param="type")
    nonsense = {"type": "document", "options": {"document": {"nonsense": True}}}
    refused(
        invalid, lambda: sessions.create(nonsense), code="parameter_unknown", param="options[document][nonsense]"
    )
    refused(invalid, lambda: sessions.retrieve("vs_nobody"), code="resource_missing", http_status=404)
    verified = sessions.create({"type": "document"})
    outcome(verified, "success")
    refused(invalid, lambda: sessions.cancel(verified.id), http_status=400)
    birth = {"expand": ["verified_outputs.dob"]}
    refused(stripe.PermissionError, lambda: sessions.retrieve(verified.id, birth), http_status=403)
    fault(kind="error", status=429, path=PATH)
    refused(stripe.RateLimitError, sessions.list, http_status=429)
    fault(kind="error", status=500, path=PATH)
    refused(stripe.APIError, lambda: sessions.create({"type": "document"}), http_status=500)
    fault(kind="cut", path=PATH)
    refused(stripe.APIConnectionError, sessions.list)


def its_own_retries_end_in_one_session():
    fault(kind="cut", when="after", path=PATH, method="POST")
    fault(kind="error", status=409, path=PATH, method="POST", skip=1)
    retrying = connect("sk_test_python", retries=2).v1.identity.verification_sessions
    session = retrying.create({"type": "document", "client_reference_id": "python-retry"})
    found = sessions.list({"client_reference_id": "python-retry"})
    assert [s.id for s in found.data] == [session.id]


def its_verification_accepts_what_the_sandbox_signs():
    arrived = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            arrived.put((body, self.headers["stripe-signature"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = client.v1.webhook_endpoints.create(
        {"url": f"http://127.0.0.1:{server.server_port}/", "enabled_events": ["*"], "secret": SECRET}
    )
    session = sessions.create({"type": "document"})
    body, signature = arrived.get(timeout=20)
    event = stripe.Webhook.construct_event(body, signature, SECRET)
    assert event.type == "identity.verification_session.created"
    assert event.data.object["id"] == session.id
    wrong = stripe.SignatureVerificationError
    refused(wrong, lambda: stripe.Webhook.construct_event(body, signature, "whsec_other"))
    refused(wrong, lambda: stripe.Webhook.construct_event(body + b" ", signature, SECRET))

    control("/_faults", {"faults": [{"kind": "thin"}, {"kind": "two_secrets"}]})
    sessions.cancel(session.id)
    body, signature = arrived.get(timeout=20)
    notification = client.parse_event_notification(body, signature, SECRET)
    assert notification.type == "v1.identity.verification_session.canceled"
    assert notification.related_object.id == session.id
    client.v1.webhook_endpoints.delete(endpoint.id)
    server.shutdown()


def the_receiver_accepts_what_this_client_signs():
    address, secret, now = RECEIVER
    payload = json.dumps(client.v1.events.list({"limit": 1}).data[0].to_dict())

    def send(key):
        signature = stripe.WebhookSignature._compute_signature(f"{now}.{payload}", key)
        assert signature == hmac.new(key.encode(), f"{now}.{payload}".encode(), hashlib.sha256).hexdigest()
        headers = {"content-type": "application/json", "stripe-signature": f"t={now},v1={signature}"}
        return post(address, payload.encode(), headers)[0]

    assert send(secret) == 200
    assert send("whsec_other") == 400


CHECKS = [
    create_retrieve_update_cancel,
    list_with_filters_and_paging,
    reports_outputs_and_redaction,
    ephemeral_keys,
    events,
    idempotent_replay,
    each_class_of_error,
    its_own_retries_end_in_one_session,
    its_verification_accepts_what_the_sandbox_signs,
]
if RECEIVER:
    CHECKS.append(the_receiver_accepts_what_this_client_signs)

for check in CHECKS:
    check()
    print("ok", check.__name__.replace("_", " "), flush=True)
