-- Jobs of several servers: whose claim it is, one line to Stripe for all of them, and where the healer stands.

-- A worker holds an advisory lock for as long as its connection lasts; 3 tells these locks from our others. VOLATILE, so
-- that it looks again whenever a row turns out to have changed.
CREATE FUNCTION worker_is_there(worker integer) RETURNS boolean LANGUAGE sql VOLATILE AS $$
    SELECT EXISTS (
        SELECT FROM pg_locks l
        WHERE l.locktype = 'advisory' AND l.classid::bigint = 3 AND l.objid::bigint = worker AND l.objsubid = 2
          AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
$$;

COMMENT ON FUNCTION worker_is_there(integer) IS 'Does anybody hold this worker''s lock? If not, what it has claimed is orphaned.';

ALTER TABLE verifications ADD COLUMN refresh_claimed_by integer, ADD COLUMN searched_at timestamptz;

COMMENT ON COLUMN verifications.refresh_claimed_by IS 'Which worker asks Stripe about it now; null once it is merged or put off.';
COMMENT ON COLUMN verifications.searched_at IS 'When the healer asked Stripe for a session of this attempt, which had none; it does so once.';

CREATE TABLE stripe_line (
    livemode boolean     PRIMARY KEY,
    next_at  timestamptz NOT NULL
);

COMMENT ON TABLE stripe_line IS 'The line of all servers'' jobs before Stripe, one a mode. People wait in their own server''s.';
COMMENT ON COLUMN stripe_line.next_at IS 'When the next call is due, each a tenth of a second after the one before it.';

CREATE TABLE healing (
    livemode        boolean     PRIMARY KEY,
    due_at          timestamptz NOT NULL DEFAULT now(),
    claimed_by      integer,
    claimed_at      timestamptz,
    failed_tries    integer     NOT NULL DEFAULT 0,
    events_until    bigint,
    recent_swept_at timestamptz,
    all_swept_at    timestamptz,
    all_down_to     bigint,
    round_ended_at  timestamptz,
    report          jsonb
);

INSERT INTO healing (livemode) VALUES (false), (true);

COMMENT ON TABLE healing IS 'Where the healer stands, one row a mode. Written only after what was read is committed: a crash repeats, and skips nothing.';
COMMENT ON COLUMN healing.due_at IS 'When the next round begins; every server that starts asks for one.';
COMMENT ON COLUMN healing.claimed_by IS 'Which worker is at it; it holds an advisory lock for as long as it is there.';
COMMENT ON COLUMN healing.failed_tries IS 'Rounds that failed in a row; sets the backoff, and says whether the failure was told already.';
COMMENT ON COLUMN healing.events_until IS 'Every event up to this second of Stripe''s was heard, but for those that appear late.';
COMMENT ON COLUMN healing.recent_swept_at IS 'When the sessions of the last 48 hours were last read to the end.';
COMMENT ON COLUMN healing.all_swept_at IS 'When those of the last 90 days were.';
COMMENT ON COLUMN healing.all_down_to IS 'How far that has come, newest first: the second of creation; null when it is not under way.';
COMMENT ON COLUMN healing.round_ended_at IS 'When a round was last finished.';
COMMENT ON COLUMN healing.report IS 'What it found.';
