DELETE FROM backroom_worker WHERE lease_until <= ?
