-- What there is to do beside performing runs: whether runs have expired, and when a schedule of
-- these flows has to be looked at.
SELECT
    backroom.now_us(),
    EXISTS (
        SELECT 1 FROM backroom.live AS l
        WHERE l.expires_at <= backroom.now_us() AND l.expires_at IS NOT NULL
          AND l.started_at IS NULL AND l.state || '' IN ('ready', 'scheduled')
    ),
    (
        SELECT s.next_at FROM backroom.schedule AS s
        WHERE s.next_at IS NOT NULL AND s.retired_at IS NULL AND s.flow = ANY (%(flows)s::text[])
        ORDER BY s.next_at LIMIT 1
    )
