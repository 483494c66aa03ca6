-- The queues that have rules for claims; few, so all of them.
SELECT name, concurrency, per_partition, interval_us, burst, full_at, parted, paused_at
FROM backroom_queue
WHERE parted OR concurrency IS NOT NULL OR interval_us IS NOT NULL OR paused_at IS NOT NULL
