DELETE FROM backroom.worker WHERE lease_until <= backroom.now_us()
