-- Those of these windows in which no run is live.
SELECT g.name FROM unnest(%(names)s::text[]) AS g (name)
WHERE NOT EXISTS (
    SELECT 1 FROM backroom.live AS m
    WHERE m.id BETWEEN split_part(g.name, '/', 1)::uuid AND split_part(g.name, '/', 2)::uuid OFFSET 0
)
