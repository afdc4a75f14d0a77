-- An open attempt may be asked for under another policy; between asking Stripe and knowing, it may be under either.
ALTER TABLE verifications ADD COLUMN policies_asked  text[]  NOT NULL DEFAULT '{}';
ALTER TABLE verifications ADD COLUMN details_version integer NOT NULL DEFAULT 0;
ALTER TABLE users         ADD COLUMN details_version integer NOT NULL DEFAULT 0;

COMMENT ON COLUMN verifications.policies_asked IS 'Policies that Stripe was asked to change the session to, since the last answer: it may be under any of them, and counts only for what all of them satisfy.';
COMMENT ON COLUMN verifications.details_version IS 'Which of the person''s details Stripe was given.';
COMMENT ON COLUMN users.details_version IS 'Counts the changes of what Stripe is told of the person, so that attempts need not hold it.';
