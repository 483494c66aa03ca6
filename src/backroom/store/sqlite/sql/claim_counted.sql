-- As claim_runs, of a queue with rules, which counts its running rows.
UPDATE backroom_live
SET state = 'running', attempt = max(attempt + 1, (SELECT first_attempt FROM backroom_epoch)),
    starts = starts + 1, worker = ?1, claimed_at = ?2, started_at = coalesce(started_at, ?2), counted = 1
WHERE id IN (SELECT value FROM json_each(?3))
