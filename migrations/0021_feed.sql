-- A database that is dumped and restored elsewhere has transactions numbered from the beginning: messages of before would lie
-- ahead of all new ones, seen by nobody, and so would every cursor. What is added here keeps the order going on.
CREATE TABLE outbox_feed (
    single boolean PRIMARY KEY DEFAULT true CONSTRAINT outbox_feed_single CHECK (single),
    ahead  bigint  NOT NULL
);

INSERT INTO outbox_feed (ahead) VALUES (0);

COMMENT ON TABLE outbox_feed IS 'How places in the order in which messages are fetched come of transactions; one row.';
COMMENT ON COLUMN outbox_feed.ahead IS 'By how much places are ahead of this cluster''s transactions; more than none after a restore.';

CREATE FUNCTION outbox_place() RETURNS xid8 LANGUAGE sql STABLE AS $$
    SELECT (pg_current_xact_id()::text::bigint + ahead)::text::xid8 FROM outbox_feed
$$;

COMMENT ON FUNCTION outbox_place() IS 'Where a message of this transaction stands, unless one about its person stands later.';

ALTER TABLE users ADD COLUMN told_at xid8;

COMMENT ON COLUMN users.told_at IS 'Where the last message about this person stands; the next one stands no earlier.';

ALTER TABLE outbox ALTER COLUMN transaction SET DEFAULT outbox_place();

COMMENT ON COLUMN outbox.transaction IS
    'The place of the transaction that wrote it: whoever fetches by it alone cannot miss one that commits late.';
