-- Takes the one call that is made to try an open breaker's service, if nobody else makes it.
WITH taken AS (
    UPDATE backroom.breaker AS b
    SET probe = %(probe)s, probe_until = backroom.now_us() + %(lease_us)s::bigint
    WHERE b.name = %(name)s AND b.open_until <= backroom.now_us()
      AND (b.probe_until IS NULL OR b.probe_until <= backroom.now_us() OR b.probe = %(probe)s)
      AND EXISTS (
    SELECT 1 FROM backroom.live AS l
    WHERE l.id = %(id)s::uuid AND l.attempt = %(attempt)s::int AND l.state = 'running' OFFSET 0
)
    RETURNING b.name
)
SELECT
    EXISTS (SELECT 1 FROM taken) OR NOT EXISTS (
        SELECT 1 FROM backroom.breaker AS b WHERE b.name = %(name)s AND b.open_until IS NOT NULL
    ),
    (
        SELECT greatest(b.open_until, coalesce(
            b.probe_until,
            CASE WHEN b.open_until <= backroom.now_us()
                THEN backroom.now_us() + %(lease_us)s::bigint END
        ))
        FROM backroom.breaker AS b WHERE b.name = %(name)s
    )
