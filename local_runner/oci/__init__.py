"""Images as registries, folders and archives have them, kept unpacked on this machine so that no engine is needed to run them."""
