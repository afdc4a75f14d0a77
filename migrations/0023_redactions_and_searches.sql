-- `validated` was taken for a redaction under way, and is none: it has not begun, and may be called off. Nobody asked us
-- for those that were only followed; the rest is to be asked of Stripe.
DELETE FROM redactions r USING verifications v
WHERE v.id = r.verification_id AND v.redaction = 'validated' AND r.ended_at IS NULL AND r.begun_at = r.requested_at
  AND NOT EXISTS (SELECT FROM users u WHERE u.id = v.user_id AND u.forgotten_at IS NOT NULL);

UPDATE redactions r SET begun_at = NULL, due_at = now(), tries = 0, tried_at = NULL
FROM verifications v
WHERE v.id = r.verification_id AND v.redaction = 'validated' AND r.ended_at IS NULL AND r.begun_at IS NOT NULL;

COMMENT ON COLUMN verifications.searched_at IS 'When the healer last found no session of this attempt at Stripe; null again once somebody starts.';
