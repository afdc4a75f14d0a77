-- Erasing: what Stripe collected for a verification, and a person altogether.
ALTER TABLE users ADD COLUMN forgotten_at timestamptz;

COMMENT ON COLUMN users.forgotten_at IS 'When the person was forgotten. From then on the row names nobody: the realm is empty, which no application''s is, and the external id is the row''s own. It stays so that its sessions are known, belong to nobody else, and count.';

CREATE TABLE redactions (
    verification_id uuid        PRIMARY KEY REFERENCES verifications (id) ON DELETE CASCADE,
    requested_at    timestamptz NOT NULL DEFAULT now(),
    begun_at        timestamptz,
    due_at          timestamptz NOT NULL DEFAULT now(),
    tries           integer     NOT NULL DEFAULT 0,
    tried_at        timestamptz,
    claimed_by      integer,
    claimed_until   timestamptz,
    overdue_at      timestamptz,
    ended_at        timestamptz,
    outcome         text,
    CONSTRAINT redactions_outcome_known
        CHECK (outcome IN ('redacted', 'gone', 'refused', 'no_session')),
    CONSTRAINT redactions_ended_with_an_outcome CHECK ((ended_at IS NULL) = (outcome IS NULL))
);

-- A table of its own, so that the rows that every delivery writes get no wider and no other index.
CREATE INDEX redactions_due_idx ON redactions (due_at) WHERE ended_at IS NULL;
CREATE INDEX redactions_not_begun_idx ON redactions (verification_id)
    WHERE ended_at IS NULL AND begun_at IS NULL;

COMMENT ON TABLE redactions IS 'Verifications that Stripe is to erase, or erases, each followed to its end. Rows stay: they say what became of it.';
COMMENT ON COLUMN redactions.requested_at IS 'When somebody asked for it, or when we learnt of it.';
COMMENT ON COLUMN redactions.begun_at IS 'When Stripe was known to erase; null while it is still to be asked, such as while it checks the document.';
COMMENT ON COLUMN redactions.due_at IS 'When Stripe is asked next.';
COMMENT ON COLUMN redactions.tries IS 'How often it was asked without anything new; sets the backoff.';
COMMENT ON COLUMN redactions.tried_at IS 'When it was asked last: whatever the verification learns after that makes it due.';
COMMENT ON COLUMN redactions.claimed_by IS 'Which worker is at it; it holds an advisory lock for as long as it is there.';
COMMENT ON COLUMN redactions.claimed_until IS 'Until when nobody else may; longer than any call may take.';
COMMENT ON COLUMN redactions.overdue_at IS 'When it was raised that it takes longer than Stripe says it may; once.';
COMMENT ON COLUMN redactions.outcome IS 'redacted: Stripe has erased it. gone: Stripe has no such session. refused: Stripe does not erase a canceled one. no_session: Stripe never made one.';
COMMENT ON INDEX redactions_pkey IS 'One row a verification.';
COMMENT ON INDEX redactions_due_idx IS 'What is to be asked next.';
COMMENT ON INDEX redactions_not_begun_idx IS 'What waits for its verification to come out of the check.';

-- Those that were asked for before anybody followed them.
INSERT INTO redactions (verification_id, begun_at)
SELECT id, now() FROM verifications
WHERE redaction IN ('processing', 'validated') AND gone_at IS NULL;

CREATE TABLE erasures (
    id           uuid        PRIMARY KEY,
    user_id      uuid        NOT NULL REFERENCES users (id),
    api_key_id   uuid        REFERENCES api_keys (id),
    requested_at timestamptz NOT NULL DEFAULT now(),
    finished_at  timestamptz,
    CONSTRAINT erasures_user_id_key UNIQUE (user_id)
);

CREATE INDEX erasures_unfinished_idx ON erasures (requested_at) WHERE finished_at IS NULL;

COMMENT ON TABLE erasures IS 'That somebody was forgotten, and when; never who. Kept for good.';
COMMENT ON COLUMN erasures.id IS 'A random reference, told to whoever asked for it.';
COMMENT ON COLUMN erasures.user_id IS 'The row that is left of them, which names nobody.';
COMMENT ON COLUMN erasures.api_key_id IS 'The key that asked for it; null for the operator.';
COMMENT ON COLUMN erasures.requested_at IS 'When nothing of them was left here, but for what leads to nobody.';
COMMENT ON COLUMN erasures.finished_at IS 'When nothing was left at Stripe either; null while it is waited for.';
COMMENT ON INDEX erasures_pkey IS 'Finds an erasure by its reference.';
COMMENT ON INDEX erasures_user_id_key IS 'Nobody is forgotten twice.';
COMMENT ON INDEX erasures_unfinished_idx IS 'What is still waited for.';
