-- The rows of one event, in a transaction of its own: what Postgres alone can commit. Of a thousand events, :changes change
-- the status, :more of them tell of the person too, and :reported name a report: as many as when Verigate was measured.
-- Ids are as they come: of events and reports in no order (7919 and 1000003 are primes), of messages ascending.
\set n random(0, :people - 1)
\set change random(1, 1000)
\set report random(1, 1000)
BEGIN;
INSERT INTO stripe_events (id, type, created, livemode, api_version, session_id, outcome)
VALUES ('evt_' || nextval('ceiling_sequence') * 7919 % 1000003, 'identity.verification_session.verified', 1790000000, false, '2026-07-29.dahlia',
        'vs_' || CAST(:n AS int) * 2 + 1, 'applied');
UPDATE verifications
SET status = 'verified', verdict_second = 1790000000, event_second = 1790000000,
    events_told = '{"verified": {"error": null, "report": "vr_1"}}', updated_at = now()
WHERE id = ('00000000-0000-4000-a000-' || lpad(to_hex(CAST(:n AS int) * 2 + 1), 12, '0'))::uuid;
\if :report <= :reported
INSERT INTO verification_reports (report_id, verification_id, livemode)
VALUES ('vr_' || nextval('ceiling_sequence') * 7919 % 1000003,
        ('00000000-0000-4000-a000-' || lpad(to_hex(CAST(:n AS int) * 2 + 1), 12, '0'))::uuid, false);
\endif
\if :change <= :changes
UPDATE users SET status = 'verified', verified_at = now(), updated_at = now()
WHERE id = ('00000000-0000-4000-8000-' || lpad(to_hex(CAST(:n AS int)), 12, '0'))::uuid;
INSERT INTO verification_history (verification_id, from_status, to_status, cause)
VALUES (('00000000-0000-4000-a000-' || lpad(to_hex(CAST(:n AS int) * 2 + 1), 12, '0'))::uuid, 'processing', 'verified',
        'evt_1 identity.verification_session.verified');
INSERT INTO outbox (id, user_id, sequence, livemode, type, data)
VALUES (lpad(to_hex(nextval('ceiling_sequence')), 32, '0')::uuid, ('00000000-0000-4000-8000-' || lpad(to_hex(CAST(:n AS int)), 12, '0'))::uuid,
        nextval('ceiling_sequence'), false, 'verification.verified',
        '{"user": {"id": "person 1", "realm": "load", "status": "verified", "verified_at": "2026-09-21T14:14:44.000Z"}, "verification": {"id": "00000000-0000-4000-a000-000000000001", "session_id": "vs_1", "policy": "default", "status": "verified", "last_error": null, "redaction": "none", "gone": false, "created_at": "2026-09-21T14:13:20.000Z"}}');
\endif
\if :change <= :more
INSERT INTO outbox (id, user_id, sequence, livemode, type, data)
VALUES (lpad(to_hex(nextval('ceiling_sequence')), 32, '0')::uuid, ('00000000-0000-4000-8000-' || lpad(to_hex(CAST(:n AS int)), 12, '0'))::uuid,
        nextval('ceiling_sequence'), false, 'user.status_changed',
        '{"user": {"id": "person 1", "realm": "load", "status": "verified", "verified_at": "2026-09-21T14:14:44.000Z"}, "verification": {"id": "00000000-0000-4000-a000-000000000001", "session_id": "vs_1", "policy": "default", "status": "verified", "last_error": null, "redaction": "none", "gone": false, "created_at": "2026-09-21T14:13:20.000Z"}}');
\endif
COMMIT;
