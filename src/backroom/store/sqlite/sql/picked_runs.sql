-- These runs, with the columns of due_runs.
SELECT
    l.id, l.flow, r.input, l.queue, max(l.attempt + 1, (SELECT first_attempt FROM backroom_epoch)),
    l.starts + 1, l.failures, ?1,
    l.parent_id, r.root_id, r.depth, r.key, r.created_at, l.deadline_at, l.cancel_reason,
    l.priority, l.available_at, l.expires_at, r.subject
FROM json_each(?2) AS picked
CROSS JOIN backroom_live AS l ON l.id = picked.value
CROSS JOIN backroom_run AS r ON r.id = l.id
