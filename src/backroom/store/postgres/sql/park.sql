-- The rows have been locked by an earlier statement and this one sees all that was committed until
-- then: an event or a child's end that came before is found here, and one that comes later will
-- find the run waiting. A run that somebody asked to cancel is due at once, to hear of it.
UPDATE backroom.live AS l
SET state = 'waiting', starts = 0, worker = NULL, available_at = CASE
    WHEN l.cancel_reason IS NOT NULL OR EXISTS (
        SELECT 1 FROM backroom.wait AS w JOIN backroom.event AS e
            ON e.run_id = w.run_id AND e.name = w.name AND e.consumed_at IS NULL
        WHERE w.run_id = l.id AND w.kind = 'event'
    ) OR EXISTS (
        SELECT 1 FROM backroom.wait AS w JOIN backroom.result AS e
            ON e.run_id = CASE WHEN w.kind = 'child' THEN w.name::uuid END
        WHERE w.run_id = l.id AND w.kind = 'child'
    ) THEN backroom.now_us()
    ELSE least(
        l.deadline_at,
        coalesce(
            (SELECT min(w.due_at) FROM backroom.wait AS w WHERE w.run_id = l.id),
            9223372036854775807
        )
    )
END
FROM unnest(%(ids)s::uuid[], %(attempts)s::int[]) AS g (id, attempt)
WHERE l.id = g.id AND l.attempt = g.attempt AND l.state = 'running'
