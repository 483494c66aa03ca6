-- A run that is taken up again: ready, its counts fresh, its attempt number above every earlier
-- one.
INSERT INTO backroom_live
    (id, flow, queue, priority, state, available_at, attempt, partition, started_at, deadline_at,
     parent_id)
VALUES (?, ?, ?, ?, 'ready', ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    priority = excluded.priority, state = 'ready', available_at = excluded.available_at,
    attempt = excluded.attempt, starts = 0, failures = 0, worker = NULL, claimed_at = NULL,
    started_at = excluded.started_at, deadline_at = excluded.deadline_at, expires_at = NULL,
    cancel_reason = NULL, error = NULL
