SELECT l.id, l.attempt, l.starts, l.worker, l.claimed_at, l.priority
FROM backroom_live AS l INDEXED BY backroom_live_held
WHERE l.state = 'running' AND l.worker = ?
ORDER BY l.id
