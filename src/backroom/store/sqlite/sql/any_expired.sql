SELECT 1 FROM backroom_live INDEXED BY backroom_live_expires
WHERE expires_at IS NOT NULL AND started_at IS NULL
  AND expires_at <= (SELECT now_us FROM backroom_clock) AND (state = 'ready' OR state = 'scheduled')
LIMIT 1
