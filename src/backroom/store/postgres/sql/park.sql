-- The rows have been locked by an earlier statement and this one sees all that was committed until
-- then: an event or a child's end that came before is found here, and one that comes later will
-- find the run waiting. A run that somebody asked to cancel is due at once, to hear of it; one that
-- goes backwards has heard.
UPDATE backroom.live AS l
SET state = 'waiting', starts = 0, priority = l.priority %% 10, worker = NULL, available_at = CASE
    WHEN (l.cancel_reason IS NOT NULL AND NOT g.backwards) OR EXISTS (
        SELECT 1 FROM backroom.wait AS w
        WHERE w.run_id = l.id AND CASE w.kind
            WHEN 'event' THEN EXISTS (
                SELECT 1 FROM backroom.event AS e
                WHERE e.run_id = l.id AND e.name = w.name AND e.consumed_at IS NULL OFFSET 0
            )
            WHEN 'child' THEN EXISTS (
                SELECT 1 FROM backroom.result AS e WHERE e.run_id = w.name::uuid OFFSET 0
            )
            WHEN 'children' THEN NOT EXISTS (
                SELECT 1 FROM backroom.live AS m
                WHERE m.id BETWEEN
                    split_part(w.name, '/', 1)::uuid AND split_part(w.name, '/', 2)::uuid OFFSET 0
            )
            WHEN 'breaker' THEN NOT EXISTS (
                SELECT 1 FROM backroom.breaker AS b
                WHERE b.name = w.name AND b.open_until IS NOT NULL OFFSET 0
            )
            WHEN 'lock' THEN NOT EXISTS (
                SELECT 1 FROM backroom.lock AS k
                WHERE k.run_id = l.id AND k.address = w.address AND k.held_at IS NULL OFFSET 0
            )
            ELSE false
        END OFFSET 0
    ) THEN backroom.now_us()
    ELSE least(
        CASE WHEN NOT g.timeless THEN l.deadline_at END,
        coalesce(
            (SELECT min(w.due_at) FROM backroom.wait AS w WHERE w.run_id = l.id),
            9223372036854775807
        )
    )
END
FROM unnest(%(ids)s::uuid[], %(attempts)s::int[], %(backwards)s::boolean[],
    %(timeless)s::boolean[]) AS g (id, attempt, backwards, timeless)
CROSS JOIN LATERAL (
    SELECT h.ctid AS place FROM backroom.live AS h
    WHERE h.id = g.id AND h.attempt = g.attempt AND h.state = 'running' OFFSET 0
) AS held
WHERE l.ctid = held.place
