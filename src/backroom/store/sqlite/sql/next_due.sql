-- When the next run of these queues comes due; one look into the index per queue and priority.
SELECT min((
    SELECT min(l.available_at) FROM backroom_live AS l INDEXED BY backroom_live_due
    WHERE (l.state = 'ready' OR l.state = 'scheduled' OR l.state = 'waiting')
      AND (l.partition IS NULL OR l.state <> 'ready' OR l.priority >= 10)
      AND l.queue = q.value AND l.priority = p.value AND l.available_at > ?1
))
FROM json_each(?2) AS q, json_each(?3) AS p
