-- A page of runs, newest first; ids rise with time. A filter that is NULL lets all pass. Planned
-- anew at every call, with its values, so that a filter that isn't used costs nothing.
SELECT
    r.id::text, r.flow, r.queue, r.state, r.priority, r.key, r.attempt, r.input, r.result, r.error,
    r.fraction, r.status, r.created_at, r.available_at, r.started_at, r.finished_at,
    r.parent_id::text, r.cause_id::text, r.worker, r.cancel_reason, r.subject, r.erased_at, r.version
FROM backroom.run_row AS r
WHERE (%(states)s::text[] IS NULL OR r.state = ANY (%(states)s::text[]))
  AND (%(flow)s::text IS NULL OR r.flow = %(flow)s)
  AND (%(queue)s::text IS NULL OR r.queue = %(queue)s)
  AND (%(parent_id)s::uuid IS NULL OR r.parent_id = %(parent_id)s::uuid)
  AND (%(before)s::uuid IS NULL OR r.id < %(before)s::uuid)
ORDER BY r.id DESC
LIMIT %(limit)s::int
