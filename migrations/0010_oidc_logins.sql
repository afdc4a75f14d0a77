-- Browsers that are away at the identity provider.
CREATE TABLE oidc_logins (
    token_hash  bytea       PRIMARY KEY,
    return_path text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL
);

CREATE INDEX oidc_logins_expires_at_idx ON oidc_logins (expires_at);

COMMENT ON TABLE oidc_logins IS 'Sign-ins with the identity provider that have begun; each can be finished once, by the browser that began it.';
COMMENT ON COLUMN oidc_logins.token_hash IS 'SHA-256 of the cookie''s random value. What the provider is told is derived from that value, so nothing here is of use to anybody.';
COMMENT ON COLUMN oidc_logins.return_path IS 'The page of ours where it began.';
COMMENT ON COLUMN oidc_logins.created_at IS 'When it began.';
COMMENT ON COLUMN oidc_logins.expires_at IS 'When it is too late to finish.';
COMMENT ON INDEX oidc_logins_pkey IS 'Finds a sign-in by its cookie.';
COMMENT ON INDEX oidc_logins_expires_at_idx IS 'Finds what nobody will finish.';
