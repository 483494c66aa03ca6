SELECT id, cancel_reason FROM backroom_live INDEXED BY backroom_live_held
WHERE state = 'running' AND worker = ? AND cancel_reason IS NOT NULL
ORDER BY id
