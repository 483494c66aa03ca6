-- The id is a UUIDv7: 48 bits of time in milliseconds, the version, a number that keeps the runs of
-- one transaction in their order, and random bits.
INSERT INTO backroom_run (
    id, flow, queue, priority, input, timeout_us, cause_id, root_id, depth, created_at, subject,
    version, partition, started_by
)
SELECT
    printf(
        '%08x-%04x-7%03x-%04x-%012x', (?1 / 1000) >> 16, (?1 / 1000) & 65535, ?13 & 4095,
        32768 | (random() & 16383), random() & 281474976710655
    ),
    ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?1, ?10, ?11,
    (SELECT '' FROM backroom_queue AS q WHERE q.name = ?3 AND q.per_partition IS NOT NULL), ?12
RETURNING id, partition
