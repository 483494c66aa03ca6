-- The lines (a priority of a queue) in which runs are due, the most urgent first; one look into the
-- index each. Most lines of most workers are empty, and to walk each of them cost more.
SELECT p.value, q.value
FROM json_each(?2) AS q, json_each(?3) AS p
WHERE EXISTS (
    SELECT 1 FROM backroom_live AS l INDEXED BY backroom_live_due
    WHERE (l.state = 'ready' OR l.state = 'scheduled' OR l.state = 'waiting')
      AND (l.partition IS NULL OR l.state <> 'ready' OR l.priority >= 10)
      AND l.queue = q.value AND l.priority = p.value AND l.available_at <= ?1
)
ORDER BY p.value
