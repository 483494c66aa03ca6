SELECT run_id FROM backroom_key WHERE flow = ? AND key = ?
