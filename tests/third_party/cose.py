"""Checks COSE receipts as any stranger could: with scitt-cose, which knows RFC 9942, and cwt, which knows COSE.

Nothing of the project is used. Prints one JSON list: for each folder null where all of it is good, else what is wrong.

    cose.py FOLDER...

A folder holds cose/keys (a COSE_KeySet), cose/record.leaf (the record) and cose/*.cose (receipts of it).
"""

import json
import pathlib
import sys

import cbor2
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cwt import COSE, COSEKey
from scitt_cose.receipt import verify_receipt

KID_OF_HEADER, KID_OF_KEY, X_OF_KEY = 4, 2, -2


def pem(key):
    """An Ed25519 key of a key set as scitt-cose wants it."""
    public = Ed25519PublicKey.from_public_bytes(key[X_OF_KEY])
    return public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def check(receipt, leaf, keys):
    """Raises where a receipt is not good for this leaf under one of the keys; returns who signed it."""
    kid = cbor2.loads(cbor2.loads(receipt).value[0])[KID_OF_HEADER]
    key = keys[kid]
    result = verify_receipt(receipt, leaf_entry_hex=leaf.hex(), log_public_key_pem=pem(key))
    if not result.ok:
        raise ValueError(f"scitt-cose: {result.errors}")
    COSE.new().decode(receipt, COSEKey.new(dict(key)), detached_payload=bytes.fromhex(result.root))
    return kid


def check_folder(folder):
    cose = pathlib.Path(folder) / "cose"
    keys = {key[KID_OF_KEY]: key for key in cbor2.loads((cose / "keys").read_bytes())}
    leaf = (cose / "record.leaf").read_bytes()
    receipts = [path.read_bytes() for path in sorted(cose.glob("*.cose"))]
    signers = {check(receipt, leaf, keys) for receipt in receipts}
    if len(signers) != len(receipts) or not signers:
        raise ValueError("one authority signed twice, or none did")


def verdict(folder):
    try:
        check_folder(folder)
    except Exception as error:  # whatever a library raises on changed bytes is its way to refuse them
        return f"{type(error).__name__}: {error}"
    return None


if __name__ == "__main__":
    print(json.dumps([verdict(folder) for folder in sys.argv[1:]]))
