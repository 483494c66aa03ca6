SELECT g.place, k.run_id::text
FROM unnest(%(places)s::int[], %(flows)s::text[], %(keys)s::text[]) AS g (place, flow, key)
CROSS JOIN LATERAL (
    SELECT k.run_id FROM backroom.key AS k WHERE k.flow = g.flow AND k.key = g.key OFFSET 0
) AS k
