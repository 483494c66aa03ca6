-- Removes runs that ended long ago with all that belongs to them, in the order of their ids (they
-- rise with time, and no run ends before it is made). Kept is what a live run needs: one that waits
-- for it, has started it or was started by it; and a key for its time.
--
-- Some callers of SQL give ids of their own, which begin with no time: most of those lie beyond all
-- that time has made so far, so that is looked through as well.
WITH bounds AS MATERIALIZED (
    SELECT
        (lpad(to_hex(greatest(0, backroom.now_us() - %(older_than_us)s::bigint) / 1000 + 1), 12, '0')
            || '00000000000000000000')::uuid AS old,
        greatest(%(after)s::uuid, (lpad(to_hex(backroom.now_us() / 1000 + 86400000), 12, '0')
            || '00000000000000000000')::uuid) AS beyond
), seen AS MATERIALIZED (
    SELECT s.* FROM (
        (
            SELECT
                e.run_id, e.finished_at < backroom.now_us() - %(older_than_us)s::bigint AS old,
                e.finished_at
            FROM backroom.result AS e
            WHERE e.run_id > %(after)s::uuid AND e.run_id < (SELECT b.old FROM bounds AS b)
            ORDER BY e.run_id LIMIT %(limit)s::int
        ) UNION ALL (
            SELECT
                e.run_id, e.finished_at < backroom.now_us() - %(older_than_us)s::bigint,
                e.finished_at
            FROM backroom.result AS e
            WHERE e.run_id > (SELECT b.beyond FROM bounds AS b)
            ORDER BY e.run_id LIMIT %(limit)s::int
        )
    ) AS s
    ORDER BY s.run_id LIMIT %(limit)s::int
), judged AS MATERIALIZED (
    SELECT s.run_id, r.flow, r.key, (
        EXISTS (
            SELECT 1 FROM backroom.wait AS w
            WHERE w.kind = 'child' AND w.name = s.run_id::text OFFSET 0
        )
        OR EXISTS (SELECT 1 FROM backroom.live AS l WHERE l.id = r.parent_id OFFSET 0)
        OR EXISTS (SELECT 1 FROM backroom.live AS l WHERE l.id = r.cause_id OFFSET 0)
        OR EXISTS (SELECT 1 FROM backroom.live AS l WHERE l.parent_id = s.run_id OFFSET 0)
        OR (r.key IS NOT NULL AND s.finished_at >= backroom.now_us() - %(key_kept_us)s::bigint)
    ) AS needed
    FROM seen AS s
    CROSS JOIN LATERAL (
        SELECT r.flow, r.key, r.parent_id, r.cause_id FROM backroom.run AS r
        WHERE r.id = s.run_id OFFSET 0
    ) AS r
    WHERE s.old
), locked AS MATERIALIZED (
    -- A person may be retrying one of them at this moment: that one stays.
    SELECT e.run_id FROM backroom.result AS e
    WHERE NOT %(dry_run)s::boolean
      AND e.run_id = ANY (ARRAY(SELECT j.run_id FROM judged AS j WHERE NOT j.needed))
    ORDER BY e.run_id FOR UPDATE SKIP LOCKED
), gone AS MATERIALIZED (
    SELECT coalesce(array_agg(k.run_id), '{}') AS ids FROM locked AS k
), steps AS (
    DELETE FROM backroom.step AS t WHERE t.run_id = ANY ((SELECT g.ids FROM gone AS g)::uuid[])
), unread AS (
    DELETE FROM backroom.event AS t
    WHERE t.run_id = ANY ((SELECT g.ids FROM gone AS g)::uuid[]) AND t.consumed_at IS NULL
), read AS (
    DELETE FROM backroom.event AS t
    WHERE t.run_id = ANY ((SELECT g.ids FROM gone AS g)::uuid[]) AND t.consumed_at IS NOT NULL
), progress AS (
    DELETE FROM backroom.progress AS t WHERE t.run_id = ANY ((SELECT g.ids FROM gone AS g)::uuid[])
), attempts AS (
    DELETE FROM backroom.attempt AS t WHERE t.run_id = ANY ((SELECT g.ids FROM gone AS g)::uuid[])
), waits AS (
    DELETE FROM backroom.wait AS t WHERE t.run_id = ANY ((SELECT g.ids FROM gone AS g)::uuid[])
), keys AS (
    DELETE FROM backroom.key AS t USING (
        SELECT k.place FROM judged AS j
        CROSS JOIN LATERAL (
            SELECT k.ctid AS place FROM backroom.key AS k
            WHERE k.flow = j.flow AND k.key = j.key AND k.run_id = j.run_id OFFSET 0
        ) AS k
        WHERE j.run_id = ANY ((SELECT g.ids FROM gone AS g)::uuid[])
    ) AS d
    WHERE t.ctid = d.place
), results AS (
    DELETE FROM backroom.result AS t WHERE t.run_id = ANY ((SELECT g.ids FROM gone AS g)::uuid[])
), runs AS (
    DELETE FROM backroom.run AS t WHERE t.id = ANY ((SELECT g.ids FROM gone AS g)::uuid[])
)
SELECT
    (SELECT count(*) FROM seen),
    CASE WHEN %(dry_run)s::boolean THEN (SELECT count(*) FROM judged AS j WHERE NOT j.needed)
        ELSE (SELECT count(*) FROM locked) END,
    (SELECT count(*) FROM judged AS j WHERE j.needed),
    (SELECT max(s.run_id::text) FROM seen AS s)
