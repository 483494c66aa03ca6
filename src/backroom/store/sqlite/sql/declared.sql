SELECT name, concurrency, per_partition, rate, per_us, burst, max_waiting FROM backroom_queue
WHERE name = ?
