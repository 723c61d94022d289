"""Workers on other machines: what of it does not depend on how they are reached."""
