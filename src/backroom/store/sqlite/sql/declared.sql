SELECT name, concurrency, per_partition, rate, per_us, burst, max_waiting, set_by, declared
FROM backroom_queue WHERE name = ?
