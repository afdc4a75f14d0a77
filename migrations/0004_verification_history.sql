-- What was committed, in order: append-only.
CREATE TABLE verification_history (
    id              bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    verification_id uuid        NOT NULL REFERENCES verifications (id),
    from_status     text,
    to_status       text,
    cause           text        NOT NULL,
    at              timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX verification_history_verification_id_idx ON verification_history (verification_id, id);

COMMENT ON TABLE verification_history IS 'Committed changes of an attempt. States merged away before a commit are in stripe_events alone.';
COMMENT ON COLUMN verification_history.from_status IS 'Status before; null when nothing was known.';
COMMENT ON COLUMN verification_history.to_status IS 'Status after; equal to from_status when something else changed, which the cause then names.';
COMMENT ON COLUMN verification_history.cause IS 'Why: an event id, a retrieval, or a step of ours.';
COMMENT ON INDEX verification_history_verification_id_idx IS 'An attempt''s history in order.';
