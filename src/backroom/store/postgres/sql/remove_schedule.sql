SELECT r.refusal, CASE WHEN r.refusal IS NULL
    THEN backroom.remove_schedule(%(name)s::text)::text END
FROM (
    SELECT coalesce((
        SELECT CASE WHEN s.source = 'code' THEN 'declared' ELSE '' END
        FROM backroom.schedule AS s WHERE s.name = %(name)s::text AND s.retired_at IS NULL
    ), 'missing') AS refusal
) AS q CROSS JOIN LATERAL (SELECT nullif(q.refusal, '') AS refusal) AS r
