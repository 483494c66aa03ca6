"""The only place where parts are wired together: store, engine and flows become a `Backroom`."""
