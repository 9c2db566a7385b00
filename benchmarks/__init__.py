"""What the guard costs; heavy, never shipped, never part of the tests."""
