#!/usr/bin/env python3
"""Issues tokens with PyJWT. Needs: pip install 'PyJWT[crypto]'.

It makes keys of its own, prints them as one line of JSON, and then answers each line with a token:

    {"alg": "RS256", "claims": {...}, "headers": {"kid": "..."}}    signed by PyJWT; with a "secret" by that
    {"header": "...", "payload": "...", "secret": "..."}            these texts, with HMAC-SHA256
"""

import base64
import hashlib
import hmac
import json
import secrets
import sys
import warnings

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

warnings.simplefilter("ignore")  # It warns of keys that are short on purpose.

SECRET = secrets.token_hex(32)
PRIVATE = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
TO_JWK = {"RS256": RSAAlgorithm.to_jwk, "ES256": ECAlgorithm.to_jwk, "EdDSA": OKPAlgorithm.to_jwk}


def private_pem(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_pem(key):
    public = key.public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def compressed_pem(key):
    """The public key on P-256 by one coordinate and a sign (RFC 5480 section 2.2)."""
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    begin = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")
    text = base64.b64encode(begin + point).decode()
    return f"-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n"


def keys():
    shown = {
        alg: {
            "public": public_pem(key),
            "private": private_pem(key),
            "jwk": json.loads(TO_JWK[alg](key.public_key())),
        }
        for alg, key in PRIVATE.items()
    }
    others = {
        "weak": public_pem(rsa.generate_private_key(65537, 1024)),
        "p384": public_pem(ec.generate_private_key(ec.SECP384R1())),
        "secp256k1": public_pem(ec.generate_private_key(ec.SECP256K1())),
        "brainpool": public_pem(ec.generate_private_key(ec.BrainpoolP256R1())),
        "compressed": compressed_pem(PRIVATE["ES256"]),
    }
    return {"secret": SECRET, **others, **shown}


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def by_hand(header, payload, secret):
    message = f"{encoded(header.encode())}.{encoded(payload.encode())}"
    signature = hmac.new(secret.encode(), message.encode(), hashlib.sha256).digest()
    return f"{message}.{encoded(signature)}"


def issue(order):
    if "header" in order:
        return by_hand(order["header"], order["payload"], order["secret"])
    alg = order["alg"]
    key = order.get("secret", SECRET) if alg.startswith("HS") else PRIVATE[alg]
    return jwt.encode(order["claims"], key, algorithm=alg, headers=order.get("headers"))


print(json.dumps(keys()), flush=True)
for line in sys.stdin:
    print(issue(json.loads(line)), flush=True)
