SELECT id, attempt FROM backroom_live INDEXED BY backroom_live_expires
WHERE expires_at IS NOT NULL AND started_at IS NULL AND expires_at <= ?
  AND (state = 'ready' OR state = 'scheduled')
ORDER BY expires_at
LIMIT ?
