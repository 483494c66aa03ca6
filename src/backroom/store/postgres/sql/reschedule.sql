WITH subject AS MATERIALIZED (
    SELECT r.id, l.id AS live, l.available_at, coalesce(e.state, l.state) AS state,
        backroom.now_us() AS now,
        coalesce(%(at)s::bigint, backroom.now_us() + %(delay_us)s::bigint) AS at
    FROM backroom.run AS r
    LEFT JOIN backroom.live AS l ON l.id = r.id
    LEFT JOIN backroom.result AS e ON e.run_id = r.id
    WHERE r.id = %(id)s::uuid
), moved AS (
    UPDATE backroom.live AS l
    SET state = CASE WHEN s.at > s.now THEN 'scheduled' ELSE 'ready' END, available_at = s.at,
        deadline_at = l.deadline_at + (s.at - l.available_at),
        expires_at = l.expires_at + (s.at - l.available_at)
    FROM subject AS s
    WHERE l.id = s.live AND s.state IN ('scheduled', 'ready')
)
SELECT s.state, s.state IN ('scheduled', 'ready') FROM subject AS s
