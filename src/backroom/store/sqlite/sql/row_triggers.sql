-- What turning changes into runs needs to know of each trigger.
SELECT
    id, name, table_name, flow, version, queue, priority, timeout_us, expires_us, parameter, subject,
    coalesced, own, paused_at IS NOT NULL
FROM backroom_trigger
