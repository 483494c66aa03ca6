INSERT INTO backroom.worker AS w (id, name, lease_until, started_at, concurrency, bell, queues, flows)
VALUES (
    %(id)s, %(name)s, backroom.now_us() + %(lease_us)s::bigint,
    coalesce(nullif(%(started_at)s::bigint, 0), backroom.now_us()), %(concurrency)s, %(bell)s,
    %(queues)s, %(flows)s
)
ON CONFLICT (id) DO UPDATE SET
    name = excluded.name, lease_until = excluded.lease_until, concurrency = excluded.concurrency,
    bell = excluded.bell, queues = excluded.queues, flows = excluded.flows
