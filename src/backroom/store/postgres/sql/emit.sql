-- The rows of the runs are locked. An event that was put in before is known by its id, consumed or
-- not; a full mailbox refuses; a run that waits for one of the names is woken. (The state is
-- compared as an expression, or it would fit the predicate of live_due and invite a scan of that.)
WITH given AS MATERIALIZED (
    SELECT
        g.*, backroom.now_us() AS now,
        EXISTS (SELECT 1 FROM backroom.live AS l WHERE l.id = g.run_id OFFSET 0) AS live,
        EXISTS (SELECT 1 FROM backroom.event AS e WHERE e.id = g.id OFFSET 0) AS known
    FROM unnest(
        %(places)s::int[], %(run_ids)s::uuid[], %(ids)s::text[], %(names)s::text[],
        %(payloads)s::text[]
    ) AS g (place, run_id, id, name, payload)
), counted AS MATERIALIZED (
    SELECT
        g.*,
        row_number() OVER (PARTITION BY g.run_id, g.known ORDER BY g.place) AS turn,
        (SELECT count(*) FROM (
            SELECT 1 FROM backroom.event AS u
            WHERE u.run_id = g.run_id AND u.consumed_at IS NULL LIMIT %(mailbox)s
        ) AS unread) AS unread
    FROM given AS g
), put AS (
    INSERT INTO backroom.event (id, run_id, name, payload, created_at)
    SELECT c.id, c.run_id, c.name, c.payload, c.now + c.turn - 1
    FROM counted AS c
    WHERE c.live AND NOT c.known AND c.unread + c.turn <= %(mailbox)s
    ON CONFLICT (id) DO NOTHING
    RETURNING run_id, name
), woken AS (
    UPDATE backroom.live AS l
    SET state = 'ready', available_at = least(l.available_at, backroom.now_us())
    FROM put AS p
    CROSS JOIN LATERAL (
        SELECT w.ctid AS place FROM backroom.live AS w
        WHERE w.id = p.run_id AND w.state || '' = 'waiting' OFFSET 0
    ) AS waiting
    WHERE l.ctid = waiting.place AND EXISTS (
        SELECT 1 FROM backroom.wait AS w
        WHERE w.run_id = p.run_id AND w.kind = 'event' AND w.name = p.name OFFSET 0
    )
)
SELECT
    c.place, c.live, c.known, c.unread + c.turn > %(mailbox)s,
    (SELECT e.state FROM backroom.result AS e WHERE e.run_id = c.run_id)
FROM counted AS c
