SELECT backroom.now_us()
