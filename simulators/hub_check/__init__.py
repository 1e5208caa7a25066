"""The conformance kit: it plays gateways to a hub that is a black box, and judges its answers."""
