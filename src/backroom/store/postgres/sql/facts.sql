-- What a server's settings and sessions say about how well runs are kept here. A role without
-- pg_read_all_stats sees other sessions without their states; then those numbers are only ours.
SELECT
    current_setting('server_version'), current_setting('server_version_num')::int,
    current_setting('fsync'), current_setting('synchronous_commit'),
    current_setting('full_page_writes'), pg_is_in_recovery(),
    coalesce((
        SELECT max(age(s.backend_xmin)) FROM pg_stat_activity AS s WHERE s.backend_xmin IS NOT NULL
    ), 0),
    coalesce((
        SELECT extract(epoch FROM max(clock_timestamp() - s.xact_start))::float8
        FROM pg_stat_activity AS s
        WHERE s.backend_type = 'client backend' AND s.pid <> pg_backend_pid()
    ), 0),
    (
        SELECT count(*) FROM pg_stat_activity AS s
        WHERE s.state LIKE 'idle in transaction%%'
          AND s.state_change < clock_timestamp() - interval '1 minute'
    ),
    (SELECT count(*) FROM pg_stat_activity AS s WHERE s.backend_type = 'client backend'),
    current_setting('max_connections')::int
        - current_setting('superuser_reserved_connections')::int,
    current_setting('autovacuum'),
    coalesce((SELECT max(age(p.transaction)) FROM pg_prepared_xacts AS p), 0),
    coalesce((SELECT max(age(s.xmin)) FROM pg_replication_slots AS s), 0)
