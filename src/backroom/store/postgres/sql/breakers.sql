SELECT b.name, b.failures, b.failed_at, b.open_until, b.probe_until, b.error FROM backroom.breaker AS b
WHERE %(breaker)s::text IS NULL OR b.name = %(breaker)s ORDER BY b.name
