-- Every process declares its queues when it starts; only what differs is written.
INSERT INTO backroom.queue AS q (
    name, concurrency, per_partition, rate, per_us, interval_us, burst, max_waiting, parted,
    changed_at
)
VALUES (
    %(name)s, %(concurrency)s, %(per_partition)s, %(rate)s, %(per_us)s, %(interval_us)s, %(burst)s,
    %(max_waiting)s, %(parted)s, backroom.now_us()
)
ON CONFLICT (name) DO UPDATE SET
    concurrency = excluded.concurrency, per_partition = excluded.per_partition,
    rate = excluded.rate, per_us = excluded.per_us, interval_us = excluded.interval_us,
    burst = excluded.burst, max_waiting = excluded.max_waiting,
    parted = q.parted OR excluded.parted, changed_at = excluded.changed_at
WHERE (q.concurrency, q.per_partition, q.rate, q.per_us, q.burst, q.max_waiting) IS DISTINCT FROM (
    excluded.concurrency, excluded.per_partition, excluded.rate, excluded.per_us, excluded.burst,
    excluded.max_waiting
)
