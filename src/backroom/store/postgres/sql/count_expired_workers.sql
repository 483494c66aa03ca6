SELECT count(*) FROM backroom.worker AS w WHERE w.lease_until < backroom.now_us()
