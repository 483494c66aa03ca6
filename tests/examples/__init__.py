"""The example applications from outside: over HTTP, in a browser, with their workers killed."""
