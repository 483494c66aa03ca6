-- How many due runs stand before this one, in its partition if it has one; counted up to a limit.
SELECT count(*) FROM (
    SELECT 1 FROM backroom.live AS m JOIN backroom.live AS l ON l.queue = m.queue
    WHERE m.id = %(id)s::uuid AND m.partition IS NULL AND l.partition IS NULL
      AND l.state IN ('ready', 'scheduled', 'waiting') AND l.available_at <= backroom.now_us()
      AND (l.priority, l.available_at, l.id) < (m.priority, m.available_at, m.id)
    UNION ALL
    SELECT 1 FROM backroom.live AS m
    JOIN backroom.live AS l ON l.queue = m.queue AND l.partition = m.partition
    WHERE m.id = %(id)s::uuid AND l.state = 'ready' AND l.priority < 10 AND l.partition IS NOT NULL
      AND (l.priority, l.available_at, l.id) < (m.priority, m.available_at, m.id)
    LIMIT %(limit)s
) AS before
