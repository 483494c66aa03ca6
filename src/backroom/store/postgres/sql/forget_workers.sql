DELETE FROM backroom.worker
