SELECT g.place, k.run_id::text
FROM unnest(%(places)s::int[], %(flows)s::text[], %(keys)s::text[]) AS g (place, flow, key)
JOIN backroom.key AS k ON k.flow = g.flow AND k.key = g.key
