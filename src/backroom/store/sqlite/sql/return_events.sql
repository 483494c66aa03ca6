-- Events whose consumption is forgotten lie in the mailbox again.
UPDATE backroom_event SET consumed_at = NULL, consumed_by = NULL
WHERE run_id = ? AND consumed_at IS NOT NULL
    AND consumed_by IN (SELECT value FROM json_each(?))
