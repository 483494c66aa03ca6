-- The next runs of a partition that are ready.
SELECT l.priority, l.available_at, l.id
FROM backroom_live AS l INDEXED BY backroom_live_parted
WHERE l.state = 'ready' AND l.priority < 10 AND l.queue = ?1 AND l.partition = ?2 AND l.available_at <= ?3
  AND l.flow IN (SELECT value FROM json_each(?4))
ORDER BY l.priority, l.available_at, l.id
LIMIT ?5 OFFSET ?6
