"""The hub and the gateway of the commands' stories."""

from tests.commands.conftest import development, folder, hub, production

__all__ = ["development", "folder", "hub", "production"]
