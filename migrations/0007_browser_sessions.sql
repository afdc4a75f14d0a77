-- People in browsers: who is signed in, and the one-time links that sign them in.
CREATE TABLE hand_offs (
    id         uuid        PRIMARY KEY,
    api_key_id uuid        NOT NULL REFERENCES api_keys (id),
    user_id    uuid        NOT NULL REFERENCES users (id),
    livemode   boolean     NOT NULL,
    token_hash bytea       NOT NULL,
    policy     text        NOT NULL,
    label      text,
    return_url text,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    spent_at   timestamptz,
    CONSTRAINT hand_offs_token_hash_key UNIQUE (token_hash)
);

CREATE INDEX hand_offs_user_id_idx ON hand_offs (user_id, created_at DESC);

COMMENT ON TABLE hand_offs IS 'Requests of an application to have a person verified, each with a one-time link.';
COMMENT ON COLUMN hand_offs.token_hash IS 'SHA-256 of the token in the link, which is never kept. A new token replaces it while it is unspent.';
COMMENT ON COLUMN hand_offs.policy IS 'Name of the set of checks asked for.';
COMMENT ON COLUMN hand_offs.label IS 'The application''s word for the person, shown before they sign in; null: the masked e-mail address is.';
COMMENT ON COLUMN hand_offs.return_url IS 'Where the person goes afterwards; checked against the key''s list when it was given.';
COMMENT ON COLUMN hand_offs.spent_at IS 'When a browser was signed in by it; once.';
COMMENT ON INDEX hand_offs_token_hash_key IS 'Finds a hand-off by its link.';
COMMENT ON INDEX hand_offs_user_id_idx IS 'A person''s hand-offs, newest first.';

CREATE TABLE browser_sessions (
    id          uuid        PRIMARY KEY,
    token_hash  bytea       NOT NULL,
    user_id     uuid        NOT NULL REFERENCES users (id),
    livemode    boolean     NOT NULL,
    source      text        NOT NULL,
    hand_off_id uuid        REFERENCES hand_offs (id),
    created_at  timestamptz NOT NULL DEFAULT now(),
    seen_at     timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL,
    CONSTRAINT browser_sessions_token_hash_key UNIQUE (token_hash),
    CONSTRAINT browser_sessions_source_known CHECK (source IN ('hand_off', 'oidc'))
);

CREATE INDEX browser_sessions_user_id_idx ON browser_sessions (user_id);
CREATE INDEX browser_sessions_hand_off_id_idx ON browser_sessions (hand_off_id);
CREATE INDEX browser_sessions_expires_at_idx ON browser_sessions (expires_at);

COMMENT ON TABLE browser_sessions IS 'Browsers that are signed in, for the purpose of verifying only.';
COMMENT ON COLUMN browser_sessions.token_hash IS 'SHA-256 of the cookie''s random value.';
COMMENT ON COLUMN browser_sessions.hand_off_id IS 'The hand-off that signed it in: whose policy and return address hold.';
COMMENT ON COLUMN browser_sessions.seen_at IS 'Last use, to the minute: idle sessions end.';
COMMENT ON COLUMN browser_sessions.expires_at IS 'The end, however busy.';
COMMENT ON INDEX browser_sessions_token_hash_key IS 'Finds a session by its cookie.';
COMMENT ON INDEX browser_sessions_user_id_idx IS 'A person''s sessions.';
COMMENT ON INDEX browser_sessions_hand_off_id_idx IS 'Whether a browser is the one that a hand-off signed in.';
COMMENT ON INDEX browser_sessions_expires_at_idx IS 'Finds what is old enough to go.';
