-- A cursor may be ahead of the last message, and a cluster that was brought back to an earlier moment numbers its transactions
-- on from there: where messages stand is then known by nothing but that the cluster is another one.
ALTER TABLE outbox_feed ADD COLUMN cluster text;

COMMENT ON COLUMN outbox_feed.cluster IS
    'The cluster, and which of its histories, that the messages were written in last; null before a server has started.';
