-- Attempts to verify a person, each with at most one VerificationSession at Stripe.
CREATE TABLE verifications (
    id              uuid        PRIMARY KEY,
    user_id         uuid        REFERENCES users (id),
    livemode        boolean     NOT NULL,
    client          text,
    policy          text        NOT NULL DEFAULT 'default',
    parameters      jsonb       NOT NULL DEFAULT '{}',
    session_id      text,

    status          text,
    error_code      text,
    report_id       text,
    verdict_second  bigint,
    redaction       text        NOT NULL DEFAULT 'none',

    event_second    bigint,
    events_told     jsonb,
    verified_second bigint,
    read_as_of      bigint,
    read_until      bigint,
    reads_told      jsonb,
    unknown_status  text,

    doubt_since     timestamptz,
    hinted          integer     NOT NULL DEFAULT 0,
    answered        integer     NOT NULL DEFAULT 0,
    refresh_due_at  timestamptz,
    refresh_tries   integer     NOT NULL DEFAULT 0,

    current         boolean     NOT NULL DEFAULT false,
    lease_until     timestamptz,
    lease_holder    uuid,
    looked_at       timestamptz,
    looks_since     timestamptz,
    looks           integer     NOT NULL DEFAULT 0,
    gone_at         timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT verifications_session_id_key UNIQUE (session_id),
    CONSTRAINT verifications_client_known
        CHECK (client IN ('modal', 'redirect', 'native')),
    CONSTRAINT verifications_status_known
        CHECK (status IN ('requires_input', 'processing', 'verified', 'canceled')),
    CONSTRAINT verifications_redaction_known
        CHECK (redaction IN ('none', 'processing', 'validated', 'redacted'))
);

-- Only `start` sets `current`, so no observation can violate this.
CREATE UNIQUE INDEX verifications_one_current_key ON verifications (user_id, livemode) WHERE current;
CREATE INDEX verifications_user_id_idx ON verifications (user_id, created_at DESC);
CREATE INDEX verifications_refresh_due_idx ON verifications (refresh_due_at) WHERE refresh_due_at IS NOT NULL;
CREATE INDEX verifications_doubt_since_idx ON verifications (doubt_since) WHERE doubt_since IS NOT NULL;

COMMENT ON TABLE verifications IS 'Attempts. A row exists before Stripe is called; a session we never made gets a row without a user (unclaimed).';
COMMENT ON COLUMN verifications.id IS 'The attempt: sent to Stripe as client_reference_id and metadata, and used as the Idempotency-Key of the create call.';
COMMENT ON COLUMN verifications.user_id IS 'Null while unclaimed.';
COMMENT ON COLUMN verifications.client IS 'What asked for it: modal, redirect or native; null while unclaimed.';
COMMENT ON COLUMN verifications.policy IS 'Name of the set of checks asked for.';
COMMENT ON COLUMN verifications.parameters IS 'Create parameters, frozen at the first click, so that a repeated call with the same Idempotency-Key is the same call.';
COMMENT ON COLUMN verifications.session_id IS 'Stripe''s vs_…; set once and never replaced.';
COMMENT ON COLUMN verifications.status IS 'Pure function of the maxima below; null while nothing is known.';
COMMENT ON COLUMN verifications.error_code IS 'last_error.code of the observation that won.';
COMMENT ON COLUMN verifications.report_id IS 'Verification report of the observation that won.';
COMMENT ON COLUMN verifications.verdict_second IS 'Unix second of the observation that won.';
COMMENT ON COLUMN verifications.redaction IS 'Greatest level seen; it never goes down.';
COMMENT ON COLUMN verifications.event_second IS 'Newest event.created second.';
COMMENT ON COLUMN verifications.events_told IS 'What the events of that second said, by kind, each with its error code and report.';
COMMENT ON COLUMN verifications.verified_second IS 'Newest second of any verified event.';
COMMENT ON COLUMN verifications.read_as_of IS 'Newest retrieval: Stripe''s Date less the round trip, in Unix seconds.';
COMMENT ON COLUMN verifications.read_until IS 'Latest second that retrieval can speak of.';
COMMENT ON COLUMN verifications.reads_told IS 'Statuses read as of that second, each with its error code and report.';
COMMENT ON COLUMN verifications.unknown_status IS 'A status Stripe sent that this version does not know; it changed nothing.';
COMMENT ON COLUMN verifications.doubt_since IS 'Since when what we were told does not settle the status; null when it does.';
COMMENT ON COLUMN verifications.hinted IS 'Deliveries that said only "look": thin events, unknown types, types that contradict their snapshot.';
COMMENT ON COLUMN verifications.answered IS 'The hints already answered by a retrieval.';
COMMENT ON COLUMN verifications.refresh_due_at IS 'When Stripe is asked next; null when nothing is open to ask.';
COMMENT ON COLUMN verifications.refresh_tries IS 'Retrievals since doubt began; sets the backoff.';
COMMENT ON COLUMN verifications.current IS 'The attempt that `start` hands out; one a person and mode.';
COMMENT ON COLUMN verifications.lease_until IS 'Until when one process alone may create or fetch the session for a person.';
COMMENT ON COLUMN verifications.lease_holder IS 'Which request holds the lease.';
COMMENT ON COLUMN verifications.looked_at IS 'Last time a waiting person made us ask Stripe.';
COMMENT ON COLUMN verifications.looks_since IS 'Start of the hour in which `looks` counts.';
COMMENT ON COLUMN verifications.looks IS 'How often in that hour.';
COMMENT ON COLUMN verifications.gone_at IS 'Stripe answered resource_missing: another account or mode, or a restarted sandbox. Never changes the status.';
COMMENT ON INDEX verifications_session_id_key IS 'One row a session.';
COMMENT ON INDEX verifications_one_current_key IS 'One open attempt a person and mode.';
COMMENT ON INDEX verifications_user_id_idx IS 'A person''s attempts, newest first.';
COMMENT ON INDEX verifications_refresh_due_idx IS 'The refresh worker''s queue.';
COMMENT ON INDEX verifications_doubt_since_idx IS 'The oldest doubt, for the metric.';
