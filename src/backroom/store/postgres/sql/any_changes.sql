SELECT 1 WHERE EXISTS (SELECT FROM backroom.change) OR EXISTS (
    SELECT FROM backroom.trigger AS t WHERE t.paused_at IS NULL
      AND EXISTS (SELECT FROM backroom.held AS h WHERE h.trigger_id = t.id)
)
