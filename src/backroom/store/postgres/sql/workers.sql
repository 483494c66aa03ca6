SELECT w.id, w.name, w.lease_until, w.started_at, w.concurrency, w.bell,
    w.queues, w.flows
FROM backroom.worker AS w ORDER BY w.started_at, w.id
