"""Random streams, each keyed by its purpose, so that no draw depends on the number of earlier draws.

A key such as (seed, "augment", epoch, step, rank) gives the same stream in a fresh process, after a resume and in
a warm worker; there is no generator state to save.
"""

import hashlib

import torch


def stream_seed(*key: int | str) -> int:
    """A 63-bit seed from a key; equal keys give equal seeds on every machine."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def stream(*key: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator for one key."""
    return torch.Generator(device=device).manual_seed(stream_seed(*key))
