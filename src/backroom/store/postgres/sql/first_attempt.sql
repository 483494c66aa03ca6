SELECT backroom.first_attempt(), backroom.now_us()
