-- Runs of a queue that were claimed while it had no rules are counted from now on.
UPDATE backroom_live SET counted = 1
WHERE id IN (SELECT l.id FROM backroom_live AS l INDEXED BY backroom_live_held
             WHERE l.state = 'running' AND l.queue = ? AND l.counted IS NULL)
