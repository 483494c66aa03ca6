-- Blanks what came from outside in runs that have ended, and keeps that they were. Locked are the
-- results: a person who retries one at this moment takes the result away first, or comes too late.
WITH asked AS MATERIALIZED (
    SELECT g.id, r.id IS NOT NULL AS there, r.erased_at IS NOT NULL AS erased, r.flow, r.key, (
        EXISTS (
            SELECT 1 FROM backroom.wait AS w
            WHERE w.kind = 'child' AND w.name = g.id::text OFFSET 0
        )
        OR EXISTS (SELECT 1 FROM backroom.live AS l WHERE l.id = r.parent_id OFFSET 0)
    ) AS needed
    FROM unnest(%(ids)s::uuid[]) AS g (id)
    LEFT JOIN LATERAL (SELECT * FROM backroom.run AS r WHERE r.id = g.id OFFSET 0) AS r ON true
), locked AS MATERIALIZED (
    SELECT e.run_id FROM backroom.result AS e
    WHERE e.run_id = ANY (ARRAY(SELECT a.id FROM asked AS a WHERE NOT a.needed))
    ORDER BY e.run_id FOR UPDATE
), gone AS MATERIALIZED (
    SELECT coalesce(array_agg(k.run_id), '{}') AS ids
    FROM locked AS k JOIN asked AS a ON a.id = k.run_id
    WHERE NOT a.erased AND NOT %(dry_run)s::boolean
), keys AS (
    DELETE FROM backroom.key AS t USING (
        SELECT k.place FROM asked AS a
        CROSS JOIN LATERAL (
            SELECT k.ctid AS place FROM backroom.key AS k
            WHERE k.flow = a.flow AND k.key = a.key AND k.run_id = a.id OFFSET 0
        ) AS k
        WHERE a.id = ANY ((SELECT g.ids FROM gone AS g)::uuid[])
    ) AS d
    WHERE t.ctid = d.place
), runs AS (
    UPDATE backroom.run AS t
    SET input = %(erased)s, key = NULL, partition = NULL, subject = NULL,
        erased_at = backroom.now_us()
    WHERE t.id = ANY ((SELECT g.ids FROM gone AS g)::uuid[])
), results AS (
    UPDATE backroom.result AS t
    SET result = CASE WHEN t.result IS NOT NULL THEN %(erased)s END,
        error = CASE WHEN t.error IS NOT NULL THEN %(error)s END
    WHERE t.run_id = ANY ((SELECT g.ids FROM gone AS g)::uuid[])
), steps AS (
    -- An address may hold a key: charge[order 7]. No name of a step begins with a bracket.
    UPDATE backroom.step AS t
    SET address = CASE WHEN position('[' IN t.address) > 0 THEN '[erased]' || n.number
            ELSE t.address END,
        result = CASE WHEN t.kind = 'start' THEN t.result
            WHEN t.result IS NOT NULL THEN %(erased)s END,
        error = CASE WHEN t.error IS NOT NULL THEN %(error)s END,
        fingerprint = NULL
    FROM (
        SELECT s.place, row_number() OVER (PARTITION BY s.run_id ORDER BY s.address) AS number
        FROM (
            SELECT s.ctid AS place, s.run_id, s.address FROM backroom.step AS s
            WHERE s.run_id = ANY ((SELECT g.ids FROM gone AS g)::uuid[])
        ) AS s
    ) AS n
    WHERE t.ctid = n.place
), unread AS (
    UPDATE backroom.event AS t SET payload = %(erased)s
    WHERE t.run_id = ANY ((SELECT g.ids FROM gone AS g)::uuid[]) AND t.consumed_at IS NULL
), read AS (
    UPDATE backroom.event AS t SET payload = %(erased)s
    WHERE t.run_id = ANY ((SELECT g.ids FROM gone AS g)::uuid[]) AND t.consumed_at IS NOT NULL
), progress AS (
    DELETE FROM backroom.progress AS t WHERE t.run_id = ANY ((SELECT g.ids FROM gone AS g)::uuid[])
), attempts AS (
    UPDATE backroom.attempt AS t SET error = %(error)s
    WHERE t.run_id = ANY ((SELECT g.ids FROM gone AS g)::uuid[]) AND t.error IS NOT NULL
), audited AS (
    INSERT INTO backroom.audit (id, at, act, by, what)
    SELECT %(audit_id)s::uuid, backroom.now_us(), 'erase', %(by)s,
        json_build_object('runs', g.ids)::text
    FROM gone AS g WHERE g.ids <> '{}'
    ON CONFLICT DO NOTHING
)
SELECT a.id::text, k.run_id IS NOT NULL, a.there, a.needed
FROM asked AS a LEFT JOIN locked AS k ON k.run_id = a.id
