-- Due suspects of one queue and line; a suspect with a partition stands here too.
SELECT l.id, l.available_at, l.partition
FROM backroom_live AS l INDEXED BY backroom_live_due
WHERE (l.state = 'ready' OR l.state = 'scheduled' OR l.state = 'waiting')
  AND (l.partition IS NULL OR l.state <> 'ready' OR l.priority >= 10)
  AND l.queue = ?1 AND l.priority = ?2 AND l.available_at <= ?3
  AND l.flow IN (SELECT value FROM json_each(?4))
ORDER BY l.available_at, l.id
LIMIT 50
