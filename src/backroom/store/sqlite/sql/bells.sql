SELECT bell FROM backroom_worker WHERE bell <> ''
