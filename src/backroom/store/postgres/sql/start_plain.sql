-- As start, for runs that have nothing special about them. Nothing is stored, and the answer says so,
-- if one of their queues takes in no more than so many: then start has to count.
WITH stored AS (
    INSERT INTO backroom.run (id, flow, queue, priority, input, created_at)
    SELECT g.id, g.flow, g.queue, g.priority, g.input, (SELECT backroom.now_us())
    FROM unnest(
        %(ids)s::uuid[], %(flows)s::text[], %(queues)s::text[], %(priorities)s::int[],
        %(inputs)s::text[]
    ) AS g (id, flow, queue, priority, input)
    WHERE NOT EXISTS (
        SELECT 1 FROM backroom.queue AS q
        WHERE q.max_waiting IS NOT NULL AND q.name = ANY (%(names)s::text[])
    )
    ON CONFLICT (id) DO NOTHING
    RETURNING id, flow, queue, priority, created_at
), stood AS (
    INSERT INTO backroom.live (id, flow, queue, priority, state, available_at)
    SELECT s.id, s.flow, s.queue, s.priority, 'ready', s.created_at FROM stored AS s
)
SELECT EXISTS (
    SELECT 1 FROM backroom.queue AS q
    WHERE q.max_waiting IS NOT NULL AND q.name = ANY (%(names)s::text[])
)
