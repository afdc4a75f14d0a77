-- Every authentic delivery, once: the full timeline, and what makes a second delivery harmless.
CREATE TABLE stripe_events (
    id          text        PRIMARY KEY,
    type        text        NOT NULL,
    created     bigint,
    livemode    boolean,
    api_version text,
    account     text,
    session_id  text,
    outcome     text        NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT stripe_events_outcome_known
        CHECK (outcome IN ('applied', 'hint', 'ignored', 'wrong_mode', 'foreign_account', 'quarantined'))
);

CREATE INDEX stripe_events_session_id_idx ON stripe_events (session_id, created) WHERE session_id IS NOT NULL;

COMMENT ON TABLE stripe_events IS 'Authentic deliveries by id. Bodies are not kept.';
COMMENT ON COLUMN stripe_events.id IS 'evt_…, or the SHA-256 of an id of another form.';
COMMENT ON COLUMN stripe_events.created IS 'Stripe''s own second; null when the delivery had none we could read.';
COMMENT ON COLUMN stripe_events.session_id IS 'vs_… it speaks of; no foreign key, since it may come before, or without, a row.';
COMMENT ON COLUMN stripe_events.outcome IS 'applied: merged into the session''s row. hint: no observation, Stripe is asked instead. ignored: nothing of ours. wrong_mode, foreign_account: not for this server. quarantined: the database refused its data.';
COMMENT ON INDEX stripe_events_session_id_idx IS 'The events of a session in Stripe''s order.';
