-- Running runs that a queue counts, the oldest first; ?2: of this partition alone.
SELECT id FROM backroom_live INDEXED BY backroom_live_counted
WHERE counted = 1 AND state = 'running' AND queue = ?1 AND (?2 IS NULL OR partition = ?2)
ORDER BY claimed_at, id LIMIT ?3
