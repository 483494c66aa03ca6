-- Keeps decisions about slots. The first one's key lets one worker in and nobody else; the
-- schedule's row is locked before, so that no change of the schedule falls in between.
WITH held AS MATERIALIZED (
    SELECT s.name FROM backroom.schedule AS s
    WHERE s.name = %(schedule)s::text AND s.series = %(series)s::bigint AND s.retired_at IS NULL
    FOR NO KEY UPDATE
), given AS MATERIALIZED (
    SELECT g.* FROM unnest(
        %(places)s::bigint[], %(ats)s::bigint[], %(lasts)s::bigint[], %(counts)s::bigint[],
        %(decisions)s::text[], %(run_ids)s::uuid[], %(reasons)s::text[]
    ) WITH ORDINALITY AS g (place, at, last_at, count, decision, run_id, reason, turn)
), first AS (
    INSERT INTO backroom.slot (
        schedule, series, place, at, last_at, count, decision, run_id, reason, decided_at
    )
    SELECT
        h.name, %(series)s::bigint, g.place, g.at, g.last_at, g.count, g.decision, g.run_id,
        g.reason, backroom.now_us()
    FROM held AS h CROSS JOIN given AS g WHERE g.turn = 1
    ON CONFLICT DO NOTHING
    RETURNING schedule
), others AS (
    INSERT INTO backroom.slot (
        schedule, series, place, at, last_at, count, decision, run_id, reason, decided_at
    )
    SELECT
        f.schedule, %(series)s::bigint, g.place, g.at, g.last_at, g.count, g.decision, g.run_id,
        g.reason, backroom.now_us()
    FROM first AS f CROSS JOIN given AS g WHERE g.turn > 1
    ON CONFLICT DO NOTHING
), forgotten AS (
    DELETE FROM backroom.slot AS k
    WHERE (k.series, k.place) IN (
        SELECT o.series, o.place FROM backroom.slot AS o WHERE o.schedule = %(schedule)s::text
        ORDER BY o.series, o.place LIMIT 10
    ) AND k.schedule = %(schedule)s::text
      AND k.decided_at < backroom.now_us() - %(forget_us)s::bigint
      AND EXISTS (SELECT 1 FROM first)
)
UPDATE backroom.schedule AS s
SET place = greatest(s.place, %(place)s::bigint), next_at = %(next_at)s::bigint,
    last_run = coalesce(%(last_run)s::uuid, s.last_run), error = %(error)s::text
FROM held AS h
WHERE s.name = h.name AND (
    EXISTS (SELECT 1 FROM first)
    OR NOT EXISTS (SELECT 1 FROM given) AND s.place IS NOT DISTINCT FROM %(before)s::bigint
)
