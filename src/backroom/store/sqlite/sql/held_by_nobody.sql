-- Running runs whose worker has no lease, be it expired or gone.
SELECT l.id, l.attempt, l.starts, l.worker, l.claimed_at, l.priority
FROM backroom_live AS l INDEXED BY backroom_live_held
WHERE l.state = 'running'
  AND NOT EXISTS (SELECT 1 FROM backroom_worker AS w WHERE w.id = l.worker AND w.lease_until > ?)
ORDER BY l.id
