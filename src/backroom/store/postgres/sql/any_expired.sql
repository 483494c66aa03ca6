SELECT 1 FROM backroom.live AS l
WHERE l.expires_at <= backroom.now_us() AND l.expires_at IS NOT NULL AND l.started_at IS NULL
  AND l.state || '' IN ('ready', 'scheduled')
LIMIT 1
