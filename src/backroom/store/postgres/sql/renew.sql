WITH mine AS MATERIALIZED (
    SELECT w.id FROM backroom.worker AS w WHERE w.id = ANY (%(ids)s::text[])
    ORDER BY w.id FOR UPDATE
)
UPDATE backroom.worker AS w SET lease_until = backroom.now_us() + %(lease_us)s::bigint
FROM mine AS m WHERE w.id = m.id
RETURNING w.id
