"""The engines that ask a guard model, one a module."""
