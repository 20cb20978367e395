# All defaults.
