-- The partitions of a queue that have runs which are ready: one look into the index for each.
WITH RECURSIVE parts (partition) AS (
    SELECT min(l.partition) FROM backroom_live AS l INDEXED BY backroom_live_parted
    WHERE l.state = 'ready' AND l.priority < 10 AND l.partition IS NOT NULL AND l.queue = ?1
    UNION ALL
    SELECT (
        SELECT min(l.partition) FROM backroom_live AS l INDEXED BY backroom_live_parted
        WHERE l.state = 'ready' AND l.priority < 10 AND l.queue = ?1 AND l.partition > parts.partition
    )
    FROM parts WHERE parts.partition IS NOT NULL
)
SELECT parts.partition FROM parts WHERE parts.partition IS NOT NULL
