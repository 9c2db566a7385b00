"""The command line: the only package that knows all parts. Commands import what they need when they run."""
