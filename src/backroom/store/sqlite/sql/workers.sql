SELECT id, name, lease_until, started_at, concurrency, bell FROM backroom_worker ORDER BY id
