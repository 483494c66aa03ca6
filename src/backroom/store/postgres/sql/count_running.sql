-- Runs of a queue that were claimed while it had no rules are counted from now on.
WITH running AS MATERIALIZED (
    SELECT l.id FROM backroom.live AS l
    WHERE l.worker IS NOT NULL AND l.queue = %(name)s AND l.counted IS NOT TRUE
    ORDER BY l.id FOR UPDATE
)
UPDATE backroom.live AS l SET counted = true WHERE l.id = ANY (ARRAY(SELECT r.id FROM running AS r))
