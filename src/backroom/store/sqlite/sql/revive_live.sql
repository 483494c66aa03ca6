-- A retried run: ready, its counts fresh, its attempt number above every earlier one. That it has
-- an attempt and no claimed_at marks it as retried and not yet claimed.
INSERT INTO backroom_live
    (id, flow, queue, priority, state, available_at, attempt, partition, started_at, deadline_at,
     parent_id)
VALUES (?, ?, ?, ?, 'ready', ?, ?, ?, ?, ?, ?)
