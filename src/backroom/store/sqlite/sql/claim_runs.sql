UPDATE backroom_live
SET state = 'running', attempt = max(attempt + 1, (SELECT first_attempt FROM backroom_epoch)),
    starts = starts + 1, worker = ?1, claimed_at = ?2, started_at = coalesce(started_at, ?2)
WHERE id IN (SELECT value FROM json_each(?3))
