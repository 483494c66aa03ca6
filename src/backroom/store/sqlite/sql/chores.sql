-- What there is to do beside performing runs: whether runs have expired, and when a schedule of
-- these flows has to be looked at.
SELECT
    now_us,
    EXISTS (
        SELECT 1 FROM backroom_live AS l INDEXED BY backroom_live_expires
        WHERE l.expires_at IS NOT NULL AND l.started_at IS NULL AND l.expires_at <= now_us
          AND (l.state = 'ready' OR l.state = 'scheduled')
    ),
    (
        SELECT s.next_at FROM backroom_schedule AS s INDEXED BY backroom_schedule_next
        WHERE s.next_at IS NOT NULL AND s.retired_at IS NULL
          AND s.flow IN (SELECT value FROM json_each(?1))
        ORDER BY s.next_at LIMIT 1
    )
FROM backroom_clock
