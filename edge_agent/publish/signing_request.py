"""X.509 as the gateway needs it: read a certificate, make a key and a request for the next one."""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509 import Certificate

__all__ = ["Certificate", "belongs", "key_of", "make", "read", "request_of"]

_REQUEST_BEGINS = b"-----BEGIN CERTIFICATE REQUEST-----"


def make(subject: x509.Name) -> bytes:
    """Make a key on P-256 and a request for a certificate of `subject`.

    Returns:
        PEM: the key (PKCS #8, RFC 5958), then the request (PKCS #10, RFC 2986).
    """
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + csr.public_bytes(Encoding.PEM)


def key_of(made: bytes) -> bytes:
    """Give the key of what `make` made."""
    return made.partition(_REQUEST_BEGINS)[0]


def request_of(made: bytes) -> bytes:
    """Give the request of what `make` made: nothing of it is secret."""
    _, begins, rest = made.partition(_REQUEST_BEGINS)
    return begins + rest


def read(pem: bytes) -> Certificate | None:
    """Read the first certificate of a PEM file; None when there is none."""
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        return None


def belongs(certificate: Certificate, key: bytes) -> bool:
    """Tell whether a certificate is for a private key (PEM)."""
    try:
        private = load_pem_private_key(key, password=None)
        mine = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        its = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        return False
    return mine == its
