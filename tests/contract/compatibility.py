"""What a later version of the contract may not have changed: `edge_agent/contract/CHANGELOG.md`."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["breaches"]

_PROSE: Final = {"description", "title", "summary"}


def breaches(released: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Say what was released and no longer holds; each sentence begins with whose it is."""
    found = []
    for part in ("channels", "operations"):
        for name, told in released[part].items():
            if not _kept(told, now[part].get(name)):
                found.append(f"{name}: another address, message, direction, QoS or retention")
    schemas = now["components"]["schemas"]
    for name, told in released["components"]["schemas"].items():
        found += _changed(name, told, schemas.get(name, {}))
    return found


def _kept(told: dict[str, Any], now: dict[str, Any] | None) -> bool:
    """A topic may carry more kinds of message, and nothing else of it may change."""
    if now is None:
        return False
    more: bool = now.get("messages", {}).items() >= told.get("messages", {}).items()
    same: bool = _meaning({**told, "messages": {}}) == _meaning({**now, "messages": {}})
    return more and same


def _changed(name: str, told: dict[str, Any], now: dict[str, Any]) -> list[str]:
    if told.get("additionalProperties") is False or "properties" not in told:
        return [] if _meaning(told) == _meaning(now) else [f"{name}: closed, and changed"]
    return [
        f"{name}.{member}: gone or changed"
        for member, kind in told["properties"].items()
        if _meaning(kind) != _meaning(now["properties"].get(member))
        or (member in told["required"]) != (member in now["required"])
    ]


def _meaning(part: Any) -> Any:
    """Leave out what is said to people; a member named like prose is none."""
    if isinstance(part, list):
        return [_meaning(item) for item in part]
    if not isinstance(part, dict):
        return part
    return {
        key: _meaning(value)
        for key, value in part.items()
        if not (key in _PROSE and isinstance(value, str))
    }
