"""capflog finds out why Cisco IP phones do not get their certificates (CAPF Online CA)."""

__version__ = "0.1.0"
