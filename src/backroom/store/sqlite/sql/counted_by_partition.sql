SELECT partition, count(*) FROM backroom_live INDEXED BY backroom_live_counted
WHERE counted = 1 AND state = 'running' AND queue = ? AND partition IS NOT NULL
GROUP BY partition
