SELECT w.id, w.name, w.lease_until, w.started_at, w.concurrency, w.bell
FROM backroom.worker AS w ORDER BY w.started_at, w.id
