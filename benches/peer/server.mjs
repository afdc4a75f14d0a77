// Express, Stripe's own SDK and pg: a transaction for each event, answered when it is committed.
//
// It writes the rows that Verigate writes, into the same tables. A session is as the event says that was created last; its
// person is verified if any of their sessions is, and else what the newest of them says.

import { randomUUID } from 'node:crypto';

import express from 'express';
import pg from 'pg';
import Stripe from 'stripe';

const stripe = new Stripe('sk_test_load');
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: Number(process.env.CONNECTIONS) });
const app = express();

app.post('/webhook', express.raw({ type: 'application/json', limit: '256kb' }), async (request, response) => {
  let event;
  try {
    event = stripe.webhooks.constructEvent(
      request.body,
      request.headers['stripe-signature'],
      process.env.STRIPE_WEBHOOK_SECRET,
    );
  } catch {
    response.status(400).end();
    return;
  }
  try {
    await commit(event);
    response.json({ received: true });
  } catch (error) {
    console.error(error.message);
    response.status(503).end();
  }
});

const TYPES = new Set(
  ['created', 'processing', 'requires_input', 'canceled', 'verified', 'redacted'].map(
    (kind) => `identity.verification_session.${kind}`,
  ),
);

async function commit(event) {
  const session = event.data.object;
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    const recorded = await client.query(
      `INSERT INTO stripe_events (id, type, created, livemode, api_version, session_id, outcome)
       VALUES ($1, $2, $3, $4, $5, $6, 'applied') ON CONFLICT (id) DO NOTHING`,
      [event.id, event.type, event.created, event.livemode, event.api_version, session.id],
    );
    if (recorded.rowCount === 1) await apply(client, event, session);
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  } finally {
    client.release();
  }
}

async function apply(client, event, session) {
  if (!TYPES.has(event.type)) return;
  const { rows } = await client.query(
    `SELECT v.id, v.user_id, v.status, v.error_code, v.redaction, v.policy, v.created_at, v.event_second,
            u.status AS user_status, u.realm, u.external_id
     FROM verifications v JOIN users u ON u.id = v.user_id WHERE v.session_id = $1 FOR UPDATE`,
    [session.id],
  );
  const known = rows[0];
  if (!known) return;
  const report = session.last_verification_report;
  if (report) {
    await client.query(
      `INSERT INTO verification_reports (report_id, verification_id, livemode) VALUES ($1, $2, false)
       ON CONFLICT DO NOTHING`,
      [report, known.id],
    );
  }
  if (known.event_second !== null && Number(known.event_second) > event.created) return;
  const { status, last_error: lastError } = session;
  const code = lastError?.code ?? null;
  const redaction = session.redaction?.status ?? 'none';
  await client.query(
    `UPDATE verifications SET status = $2, error_code = $3, report_id = $4, verdict_second = $5, event_second = $5,
            redaction = $6, updated_at = now() WHERE id = $1`,
    [known.id, status, code, report, event.created, redaction],
  );
  const types = [];
  if (known.status !== status || known.error_code !== code) types.push(`verification.${status}`);
  if (known.redaction !== redaction) types.push('verification.redacted');
  if (types.length === 0) return;
  await client.query(
    `INSERT INTO verification_history (verification_id, from_status, to_status, cause) VALUES ($1, $2, $3, $4)`,
    [known.id, known.status, status, `${event.id} ${event.type}`],
  );
  const { rows: derived } = await client.query(
    `SELECT status FROM verifications WHERE user_id = $1 AND status IS NOT NULL
     ORDER BY status = 'verified' DESC, created_at DESC LIMIT 1`,
    [known.user_id],
  );
  const person = derived[0].status;
  if (known.user_status !== person) types.push('user.status_changed');
  const told = await client.query(
    `UPDATE users
     SET status = $2, verified_at = CASE WHEN $2 = 'verified' THEN COALESCE(verified_at, to_timestamp($4)) END,
         sequence = sequence + $3, updated_at = now()
     WHERE id = $1 RETURNING sequence, verified_at`,
    [known.user_id, person, types.length, event.created],
  );
  const { sequence, verified_at } = told.rows[0];
  await client.query(
    `INSERT INTO outbox (id, user_id, sequence, livemode, type, data)
     SELECT message.id, $1::uuid, $2::bigint - $3::bigint + message.place, false, message.type, $6::jsonb
     FROM UNNEST($4::uuid[], $5::text[]) WITH ORDINALITY AS message (id, type, place)`,
    [
      known.user_id,
      sequence,
      types.length,
      types.map(() => randomUUID()),
      types,
      {
        user: { id: known.external_id, realm: known.realm, status: person, verified_at },
        verification: {
          id: known.id,
          session_id: session.id,
          policy: known.policy,
          status,
          last_error: code && { code },
          redaction,
          created_at: known.created_at,
        },
      },
    ],
  );
}

app.listen(Number(process.env.PORT), '127.0.0.1');
