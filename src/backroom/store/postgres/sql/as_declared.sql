-- Lifts an operator's rules: those that a program has declared last are in force again.
UPDATE backroom.queue AS q
SET concurrency = (d.rules ->> 'concurrency')::int, per_partition = (d.rules ->> 'per_partition')::int,
    rate = (d.rules ->> 'rate')::int, per_us = (d.rules ->> 'per_us')::bigint,
    interval_us = (d.rules ->> 'interval_us')::bigint, burst = (d.rules ->> 'burst')::int,
    max_waiting = (d.rules ->> 'max_waiting')::int,
    parted = q.parted OR coalesce(d.rules ->> 'per_partition' IS NOT NULL, false),
    set_by = NULL, changed_at = backroom.now_us()
FROM (
    SELECT o.name, coalesce(o.declared, '{}')::json AS rules FROM backroom.queue AS o
    WHERE o.name = %(name)s
) AS d
WHERE q.name = d.name AND q.set_by IS NOT NULL
RETURNING q.name
