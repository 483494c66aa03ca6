INSERT OR REPLACE INTO backroom_breaker (name, failures, failed_at, open_until, probe_until, probe, error)
VALUES (?, ?, ?, ?, NULL, NULL, ?)
