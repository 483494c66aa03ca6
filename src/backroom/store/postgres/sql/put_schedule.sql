SELECT r.refusal, CASE WHEN r.refusal IS NULL THEN backroom.add_schedule(
    %(name)s::text, %(flow)s::text, %(calendar)s::json, %(input)s::json, %(options)s::json,
    %(made_by)s::text, %(source)s::text
)::text END
FROM (
    SELECT (
        SELECT 'declared' FROM backroom.schedule AS s
        WHERE s.name = %(name)s::text AND s.source = 'code' AND s.retired_at IS NULL
          AND %(source)s::text <> 'code'
    ) AS refusal
) AS r
