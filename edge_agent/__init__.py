"""The in-store presence edge agent: opted-in shoppers' visits, from radio to MQTT."""

__version__ = "0.1.0"
