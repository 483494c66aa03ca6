INSERT INTO backroom_worker (id, name, lease_until, started_at, concurrency, bell, queues, flows)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    name = excluded.name, lease_until = excluded.lease_until,
    concurrency = excluded.concurrency, bell = excluded.bell, queues = excluded.queues,
    flows = excluded.flows
