-- As runs, for states other than succeeded: these are few among many, so they are looked up in the
-- hot table and in the index of bad ends instead of passing over all that went well.
SELECT
    r.id::text, r.flow, r.queue, r.state, r.priority, r.key, r.attempt, r.input, r.result, r.error,
    r.fraction, r.status, r.created_at, r.available_at, r.started_at, r.finished_at,
    r.parent_id::text, r.cause_id::text, r.worker, r.cancel_reason, r.subject, r.erased_at, r.version
FROM (
    SELECT l.id FROM backroom.live AS l WHERE cardinality(%(live)s::text[]) > 0
    UNION ALL
    SELECT e.run_id FROM backroom.result AS e
    WHERE e.state <> 'succeeded' AND e.state = ANY (%(bad)s::text[])
) AS few
JOIN backroom.run_row AS r ON r.id = few.id
WHERE (%(states)s::text[] IS NULL OR r.state = ANY (%(states)s::text[]))
  AND (%(flow)s::text IS NULL OR r.flow = %(flow)s)
  AND (%(queue)s::text IS NULL OR r.queue = %(queue)s)
  AND (%(parent_id)s::uuid IS NULL OR r.parent_id = %(parent_id)s::uuid)
  AND (%(before)s::uuid IS NULL OR r.id < %(before)s::uuid)
ORDER BY r.id DESC
LIMIT %(limit)s::int
