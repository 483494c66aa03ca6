SELECT r.refusal, CASE WHEN r.refusal IS NULL
    THEN backroom.pause_schedule(%(name)s::text, %(by)s::text)::text END
FROM (
    SELECT CASE WHEN NOT EXISTS (
        SELECT 1 FROM backroom.schedule AS s WHERE s.name = %(name)s::text AND s.retired_at IS NULL
    ) THEN 'missing' END AS refusal
) AS r
