-- Every process declares its queues when it starts; only what differs is written, and nothing where an
-- operator (`by`) has set other rules.
INSERT INTO backroom.queue AS q (
    name, concurrency, per_partition, rate, per_us, interval_us, burst, max_waiting, parted,
    changed_at, set_by
)
VALUES (
    %(name)s, %(concurrency)s, %(per_partition)s, %(rate)s, %(per_us)s, %(interval_us)s, %(burst)s,
    %(max_waiting)s, %(parted)s, backroom.now_us(), %(by)s
)
ON CONFLICT (name) DO UPDATE SET
    concurrency = excluded.concurrency, per_partition = excluded.per_partition,
    rate = excluded.rate, per_us = excluded.per_us, interval_us = excluded.interval_us,
    burst = excluded.burst, max_waiting = excluded.max_waiting,
    parted = q.parted OR excluded.parted, changed_at = excluded.changed_at,
    set_by = excluded.set_by
WHERE (q.set_by IS NULL OR excluded.set_by IS NOT NULL) AND (
    q.concurrency, q.per_partition, q.rate, q.per_us, q.burst, q.max_waiting, q.set_by
) IS DISTINCT FROM (
    excluded.concurrency, excluded.per_partition, excluded.rate, excluded.per_us, excluded.burst,
    excluded.max_waiting, excluded.set_by
)
