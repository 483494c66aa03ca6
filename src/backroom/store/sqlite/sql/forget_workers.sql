DELETE FROM backroom_worker
