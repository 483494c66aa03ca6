SELECT id, name, lease_until, started_at, concurrency, bell, queues, flows FROM backroom_worker
ORDER BY started_at, id
