SELECT name, failures, failed_at, open_until, probe_until, error FROM backroom_breaker
WHERE ?1 IS NULL OR name = ?1 ORDER BY name
