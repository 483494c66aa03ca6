-- Takes the locks of the queues with rules that nobody else has now, and keeps their names for the
-- statements that follow in this transaction: their snapshots begin after the lock, so they see what
-- everybody has claimed who had it before. An advisory lock, since a row's would write, and idle
-- workers look often; tried and not waited for, since whoever has it claims all that there is.
SELECT set_config('backroom.held', coalesce((
    SELECT string_agg(q.name, ',') FROM (
        SELECT q.name FROM backroom.queue AS q
        WHERE q.name = ANY (%(queues)s::text[]) AND q.ruled AND q.paused_at IS NULL OFFSET 0
    ) AS q
    WHERE pg_try_advisory_xact_lock(hashtextextended(%(schema)s || '.queue.' || q.name, 0))
), ''), true)
