-- What every write transaction needs to know: the time, and whether any queue limits what it takes
-- in, or has rules for claims. Queues that declare something are few, so all of them.
SELECT
    now_us,
    EXISTS (SELECT 1 FROM backroom_queue WHERE max_waiting IS NOT NULL),
    EXISTS (
        SELECT 1 FROM backroom_queue
        WHERE parted OR concurrency IS NOT NULL OR interval_us IS NOT NULL OR paused_at IS NOT NULL
    )
FROM backroom_clock
