SELECT 1 WHERE EXISTS (SELECT 1 FROM backroom_change) OR EXISTS (
    SELECT 1 FROM backroom_trigger AS t
    WHERE t.paused_at IS NULL
      AND EXISTS (SELECT 1 FROM backroom_held AS h WHERE h.trigger_id = t.id)
)
