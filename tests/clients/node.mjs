// Drives the sandbox with Stripe's client for Node. Arguments: the sandbox's origin, then optionally a receiver's address, its webhook secret and what second it is there.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import Stripe from 'stripe';

const [base, receiver, receiverSecret, receiverNow] = process.argv.slice(2);
const { hostname: host, port } = new URL(base);
const secret = 'whsec_of_the_node_client';
const connect = (key, more) =>
  new Stripe(key, { host, port, protocol: 'http', telemetry: false, maxNetworkRetries: 0, timeout: 20_000, ...more });
const stripe = connect('sk_test_node');
const restricted = connect('rk_test_node');
const sessions = stripe.identity.verificationSessions;

const control = async (method, path, body) => {
  const response = await fetch(base + path, {
    method,
    headers: { 'content-type': 'application/json' },
    body: body && JSON.stringify(body),
  });
  assert.ok(response.ok, `${method} ${path}: ${response.status}`);
  return response.status === 204 ? null : response.json();
};
const outcome = (session, chosen) => control('POST', `/_sessions/${session.id}/outcome`, chosen);
const fault = (one) => control('POST', '/_faults', one);
const path = '/v1/identity/verification_sessions';

const checks = {
  async 'create, retrieve, update, cancel'() {
    const created = await sessions.create({
      type: 'document',
      options: { document: { allowed_types: ['passport', 'id_card'], require_matching_selfie: true } },
      metadata: { attempt: 'a-1' },
      client_reference_id: 'node-1',
      return_url: 'http://localhost:4242/submitted',
    });
    assert.equal(created.status, 'requires_input');
    assert.deepEqual(created.options.document.allowed_types, ['passport', 'id_card']);
    assert.match(created.lastResponse.requestId, /^req_/);
    assert.match(created.lastResponse.apiVersion, /endive$/);
    const read = await sessions.retrieve(created.id, { expand: ['provided_details'] });
    assert.notEqual(read.client_secret, created.client_secret);
    const updated = await sessions.update(created.id, { metadata: { attempt: '', more: 'b' } });
    assert.deepEqual(updated.metadata, { more: 'b' });
    const canceled = await sessions.cancel(created.id);
    assert.equal(canceled.status, 'canceled');
    assert.equal(canceled.url, null);
  },

  async 'list with filters and paging'() {
    const made = [];
    for (let n = 0; n < 5; n += 1) {
      made.unshift((await sessions.create({ type: 'document', client_reference_id: 'node-list' })).id);
    }
    await sessions.cancel(made[1]);
    const filter = { client_reference_id: 'node-list', limit: 2 };
    const first = await sessions.list(filter);
    assert.equal(first.has_more, true);
    assert.deepEqual(first.data.map((s) => s.id), made.slice(0, 2));
    const back = await sessions.list({ ...filter, ending_before: made[2] });
    assert.deepEqual(back.data.map((s) => s.id), made.slice(0, 2));
    assert.equal(back.has_more, false);
    const all = await sessions.list(filter).autoPagingToArray({ limit: 100 });
    assert.deepEqual(all.map((s) => s.id), made);
    const open = await sessions.list({ ...filter, status: 'canceled', created: { gte: all[4].created } });
    assert.deepEqual(open.data.map((s) => s.id), [made[1]]);
  },

  async 'reports, outputs and redaction'() {
    const session = await sessions.create({ type: 'document', metadata: { who: 'somebody' } });
    await outcome(session, { case: 'failure', code: 'document_expired' });
    const failed = await sessions.retrieve(session.id);
    assert.equal(failed.last_error.code, 'document_expired');
    await outcome(session, { case: 'success' });
    const verified = await sessions.retrieve(session.id, { expand: ['verified_outputs', 'last_verification_report'] });
    assert.equal(verified.verified_outputs.last_name, 'Rosen');
    assert.equal(verified.last_verification_report.document.status, 'verified');
    const reports = await stripe.identity.verificationReports.list({ verification_session: session.id });
    assert.equal(reports.data.length, 2);
    const one = await restricted.identity.verificationReports.retrieve(reports.data[0].id, { expand: ['document.dob'] });
    assert.equal(one.document.dob.year, 1990);
    const redacting = await sessions.redact(session.id);
    assert.equal(redacting.redaction.status, 'processing');
    await control('POST', `/_sessions/${session.id}/finish`, {});
    const redacted = await sessions.retrieve(session.id);
    assert.equal(redacted.redaction.status, 'redacted');
    assert.deepEqual(redacted.metadata, {});
  },

  async 'ephemeral keys'() {
    const session = await sessions.create({ type: 'document' });
    const key = await stripe.ephemeralKeys.create({ verification_session: session.id }, { apiVersion: '2026-07-29.dahlia' });
    assert.match(key.secret, /^ek_test_/);
    const gone = await stripe.ephemeralKeys.del(key.id);
    assert.equal(gone.secret, undefined);
  },

  async 'events'() {
    const session = await sessions.create({ type: 'document' });
    await outcome(session, { case: 'success' });
    const types = ['identity.verification_session.created', 'identity.verification_session.verified'];
    const events = await stripe.events.list({ types, limit: 2 });
    assert.deepEqual(events.data.map((e) => e.type), types.toReversed());
    const event = await stripe.events.retrieve(events.data[0].id);
    assert.equal(event.data.object.id, session.id);
  },

  async 'idempotent replay'() {
    const params = { type: 'document', metadata: { a: '1' } };
    const first = await sessions.create(params, { idempotencyKey: 'node-replay' });
    const again = await sessions.create(params, { idempotencyKey: 'node-replay' });
    assert.equal(again.id, first.id);
    assert.equal(again.lastResponse.headers['idempotent-replayed'], 'true');
    await assert.rejects(
      sessions.create({ type: 'id_number' }, { idempotencyKey: 'node-replay' }),
      Stripe.errors.StripeIdempotencyError,
    );
  },

  async 'each class of error'() {
    const refused = async (call, kind, expected) => {
      await assert.rejects(call, (error) => {
        assert.ok(error instanceof kind, `${error.constructor.name}: ${error.message}`);
        for (const [name, value] of Object.entries(expected)) assert.equal(error[name], value, name);
        return true;
      });
    };
    const { errors } = Stripe;
    await refused(connect('sk_live_node').events.list(), errors.StripeAuthenticationError, { statusCode: 401 });
    await refused(connect('pk_test_node').events.list(), errors.StripeAuthenticationError, { code: 'secret_key_required' });
    await refused(sessions.create({}), errors.StripeInvalidRequestError, { code: 'parameter_missing', param: 'type' });
    await refused(
      sessions.create({ type: 'document', options: { document: { nonsense: true } } }),
      errors.StripeInvalidRequestError,
      { code: 'parameter_unknown', param: 'options[document][nonsense]' },
    );
    await refused(sessions.retrieve('vs_nobody'), errors.StripeInvalidRequestError, { code: 'resource_missing', statusCode: 404 });
    const verified = await sessions.create({ type: 'document' });
    await outcome(verified, { case: 'success' });
    await refused(sessions.cancel(verified.id), errors.StripeInvalidRequestError, { statusCode: 400 });
    await refused(
      sessions.retrieve(verified.id, { expand: ['verified_outputs.dob'] }),
      errors.StripePermissionError,
      { statusCode: 403 },
    );
    await fault({ kind: 'error', status: 429, path });
    await refused(sessions.list(), errors.StripeRateLimitError, { code: 'rate_limit' });
    await fault({ kind: 'error', status: 500, path });
    await refused(sessions.create({ type: 'document' }), errors.StripeAPIError, { statusCode: 500 });
    // This client tries once more by itself when a connection is reset.
    await fault({ kind: 'cut', path, times: 2 });
    await refused(sessions.list(), errors.StripeConnectionError, {});
  },

  async 'its own retries end in one session'() {
    const retrying = connect('sk_test_node', { maxNetworkRetries: 2 });
    await fault({ kind: 'cut', when: 'after', path, method: 'POST' });
    await fault({ kind: 'error', status: 409, path, method: 'POST', skip: 1 });
    const session = await retrying.identity.verificationSessions.create({ type: 'document', client_reference_id: 'node-retry' });
    const found = await sessions.list({ client_reference_id: 'node-retry' });
    assert.deepEqual(found.data.map((s) => s.id), [session.id]);
  },

  async 'its verification accepts what the sandbox signs'() {
    const arrived = [];
    let hear;
    const server = createServer((request, response) => {
      const chunks = [];
      request.on('data', (chunk) => chunks.push(chunk));
      request.on('end', () => {
        arrived.push({ body: Buffer.concat(chunks), signature: request.headers['stripe-signature'] });
        response.end();
        hear?.();
      });
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    const next = async (count) => {
      while (arrived.length < count) await new Promise((resolve) => { hear = resolve; });
      return arrived[count - 1];
    };
    const endpoint = await stripe.webhookEndpoints.create({
      url: `http://127.0.0.1:${server.address().port}/`,
      enabled_events: ['*'],
      secret,
    });
    const session = await sessions.create({ type: 'document' });
    const { body, signature } = await next(1);
    const event = stripe.webhooks.constructEvent(body, signature, secret);
    assert.equal(event.type, 'identity.verification_session.created');
    assert.equal(event.data.object.id, session.id);
    const isRefused = { name: 'Error', type: 'StripeSignatureVerificationError' };
    assert.throws(() => stripe.webhooks.constructEvent(body, signature, 'whsec_other'), (e) => e.type === isRefused.type);
    assert.throws(() => stripe.webhooks.constructEvent(`${body} `, signature, secret), (e) => e.type === isRefused.type);

    await control('POST', '/_faults', { faults: [{ kind: 'thin' }, { kind: 'two_secrets' }] });
    await sessions.cancel(session.id);
    const thin = await next(2);
    const notification = stripe.parseEventNotification(thin.body, thin.signature, secret);
    assert.equal(notification.type, 'v1.identity.verification_session.canceled');
    assert.equal(notification.related_object.id, session.id);
    await stripe.webhookEndpoints.del(endpoint.id);
    server.closeAllConnections();
    server.close();
  },
};

if (receiver) {
  checks['the receiver accepts what this client signs'] = async () => {
    const [event] = (await stripe.events.list({ limit: 1 })).data;
    const payload = JSON.stringify(event);
    const send = (header) =>
      fetch(receiver, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'stripe-signature': header },
        body: payload,
      });
    const timestamp = Number(receiverNow);
    const sign = (key) => stripe.webhooks.generateTestHeaderString({ payload, secret: key, timestamp });
    assert.equal((await send(sign(receiverSecret))).status, 200);
    assert.equal((await send(sign('whsec_other'))).status, 400);
  };
}

for (const [name, check] of Object.entries(checks)) {
  await check();
  console.log(`ok ${name}`);
}
// The client's idle connections would keep the process for as long as its time-out.
process.exit(0);
