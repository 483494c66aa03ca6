SELECT failures, open_until, probe_until, probe FROM backroom_breaker WHERE name = ?
