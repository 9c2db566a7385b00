"""What ``serve`` makes of its options and the environment."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import typer

from gateway.channels import Channel, Policy, Profile
from startrek_guard.serve import settings_of, unguarded


def test_a_channel_that_was_set_stays_so_under_another_profile() -> None:
    """Also where it was set to what the public profile has by default."""
    settings = settings_of({"STARTREK_GUARD_CHANNEL_IMAGES": "deny"}, None, "trusted")
    assert settings.profile is Profile.TRUSTED
    assert (settings.channels[Channel.IMAGES], settings.channels[Channel.SYSTEM]) == (Policy.DENY, Policy.ALLOW)


def test_options_take_the_place_of_the_environment() -> None:
    """An address without a scheme is Ollama's."""
    environ = {"STARTREK_GUARD_UPSTREAM": "http://there:1", "STARTREK_GUARD_PROFILE": "trusted"}
    settings = settings_of(environ, "here:2", "public")
    assert (settings.upstream, settings.profile) == ("http://here:2", Profile.PUBLIC)


def test_what_is_forwarded_off_topic_is_told_at_the_start() -> None:
    """Nothing else would tell: a gateway in shadow mode looks like one that refuses."""
    environ = {"STARTREK_GUARD_SHADOW": "true", "STARTREK_GUARD_FAIL_OPEN": "queue_full,guard_timeout"}
    shadow, fail_open = unguarded(settings_of(environ, None, None))
    assert "Shadow mode: nothing is refused" in shadow
    assert "(guard_timeout, queue_full)" in fail_open
    assert unguarded(settings_of({}, None, None)) == []


def test_an_unknown_profile_is_an_error() -> None:
    """With what was given and what is wanted."""
    with pytest.raises(typer.BadParameter, match="'friends', wanted public or trusted"):
        settings_of({}, None, "friends")


def test_a_port_that_is_none_is_an_error_as_an_option_too() -> None:
    """The system takes the lower 16 bits: 70000 would be served on 4464."""
    command = [sys.executable, "-m", "startrek_guard", "serve", "--port", "70000"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "STARTREK_GUARD_PORT='70000', wanted a port from 0 to 65535" in done.stderr


@pytest.mark.slow
def test_an_address_that_can_not_be_listened_on_is_named() -> None:
    """What the system says of a name that it does not know leaves the name out."""
    command = [sys.executable, "-m", "startrek_guard", "serve", "--host", "nowhere.invalid", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "can't listen on host 'nowhere.invalid', port 0" in done.stderr


def test_the_environment_names_the_guard() -> None:
    """A service has no command line of its own to change."""
    environ = os.environ | {"STARTREK_GUARD_GUARD": "/nowhere/own.gguf"}
    command = [sys.executable, "-m", "startrek_guard", "serve", "--port", "0"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "own.gguf" in done.stderr.replace("\n", "")
