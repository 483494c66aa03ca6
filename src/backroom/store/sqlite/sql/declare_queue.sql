INSERT INTO backroom_queue
    (name, concurrency, per_partition, rate, per_us, interval_us, burst, max_waiting, parted, changed_at, set_by)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET
    concurrency = excluded.concurrency, per_partition = excluded.per_partition,
    rate = excluded.rate, per_us = excluded.per_us, interval_us = excluded.interval_us,
    burst = excluded.burst, max_waiting = excluded.max_waiting,
    parted = max(parted, excluded.parted), changed_at = excluded.changed_at, set_by = excluded.set_by
