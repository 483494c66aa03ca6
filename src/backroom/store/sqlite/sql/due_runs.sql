-- Due runs of one queue and priority, longest due first, from a floor on; those without a partition.
SELECT
    l.id, l.flow, r.input, l.queue, max(l.attempt + 1, (SELECT first_attempt FROM backroom_epoch)),
    l.starts + 1, l.failures, ?1,
    l.parent_id, r.root_id, r.depth, r.key, r.created_at, l.deadline_at, l.cancel_reason,
    l.priority, l.available_at, l.expires_at, r.subject
FROM backroom_live AS l INDEXED BY backroom_live_due
CROSS JOIN backroom_run AS r ON r.id = l.id
WHERE (l.state = 'ready' OR l.state = 'scheduled' OR l.state = 'waiting')
  AND l.queue = ?2 AND l.priority = ?3 AND l.available_at BETWEEN ?4 AND ?1
  AND l.partition IS NULL
  AND l.flow IN (SELECT value FROM json_each(?5))
ORDER BY l.available_at, l.id
LIMIT ?6
