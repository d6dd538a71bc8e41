#!/usr/bin/env python3
"""Verifies an offer's order log over HTTP with nothing but Python's standard library.

    verify_log.py URL

URL is the log's prefix, for instance https://yard.example/api/v1/races/<id>/offer. Reads `keys`,
`checkpoint`, all entry bundles, all hash tiles and the receipts of a few leaves; recomputes the root
(RFC 6962), verifies the signed note (C2SP signed-note, tlog-checkpoint), the tiles (tlog-tiles) and
the receipts (tlog-proof@v1). Prints OK and exits 0, or says what is wrong and exits 1.
"""

import base64
import hashlib
import sys
import urllib.error
import urllib.request

# Ed25519 by RFC 8032, appendix A: extended homogeneous coordinates.
P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def point_add(a, b):
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = f - e, h - g, h + g, f + e
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def point_mul(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = point_add(result, point)
        point, scalar = point_add(point, point), scalar >> 1
    return result


def point_equal(a, b):
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0


def recover_x(y, sign):
    if y >= P:
        return None
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    if x2 == 0:
        return None if sign else 0
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - x2) % P:
        return None
    return P - x if x & 1 != sign else x


def point_decompress(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    x = recover_x(y, sign)
    return None if x is None else (x, y, 1, x * y % P)


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE = (recover_x(BASE_Y, 0), BASE_Y, 1, recover_x(BASE_Y, 0) * BASE_Y % P)


def ed25519_verify(public, message, signature):
    a, r = point_decompress(public), point_decompress(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or a is None or r is None or s >= Q:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % Q
    return point_equal(point_mul(s, BASE), point_add(r, point_mul(h, a)))


class Wrong(Exception):
    """What is wrong with the log."""


def check(holds, why):
    if not holds:
        raise Wrong(why)


def leaf_hash(leaf):
    return hashlib.sha256(b"\0" + leaf).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def open_note(note, keys):
    """The origin, size and root of a checkpoint that one of the keys signed."""
    text, _, signatures = note.rpartition("\n\n")
    text += "\n"
    origin, size, root = text.split("\n")[:3]
    check(origin in keys, f"no published key is called {origin}")
    key_id, public = keys[origin]
    for line in signatures.splitlines():
        dash, name, signature = line.split(" ")
        signature = base64.b64decode(signature, validate=True)
        if dash == "\u2014" and name == origin and signature[:4] == key_id:
            check(ed25519_verify(public, text.encode(), signature[4:]), "the signature is wrong")
            return origin, int(size), base64.b64decode(root, validate=True)
    raise Wrong("not signed by the published key")


def read_keys(text):
    keys = {}
    for line in text.splitlines():
        name, key_id, key = line.split("+", 2)
        key = base64.b64decode(key, validate=True)
        digest = hashlib.sha256(name.encode() + b"\n" + key).digest()
        check(key[0] == 1 and len(key) == 33, "not an Ed25519 key")
        check(digest[:4].hex() == key_id, f"the id of key {name} is wrong")
        keys[name] = (digest[:4], key[1:])
    return keys


def tile_path(level, number, width):
    groups = [f"{number % 1000:03}"]
    while number >= 1000:
        number //= 1000
        groups.insert(0, f"x{number % 1000:03}")
    partial = "" if width == 256 else f".p/{width}"
    return f"tile/{level}/{'/'.join(groups)}{partial}"


def tiles(nodes):
    """The number and width of each tile that so many hashes or entries need."""
    return [(n, min(256, nodes - n * 256)) for n in range((nodes + 255) // 256)]


def read_entries(bundle):
    entries, at = [], 0
    while at < len(bundle):
        length = int.from_bytes(bundle[at : at + 2], "big")
        entries.append(bundle[at + 2 : at + 2 + length])
        at += 2 + length
    check(at == len(bundle), "an entry bundle ends within an entry")
    return entries


def root_of(hashes):
    """The root over any number of hashes: halves of the largest power of two below."""
    if len(hashes) == 1:
        return hashes[0]
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return node_hash(root_of(hashes[:split]), root_of(hashes[split:]))


def check_receipt(text, keys, leaves):
    """A receipt's proof leads from the leaf to its own checkpoint (RFC 9162, 2.1.3.2)."""
    head, _, note = text.partition("\n\n")
    header, extra, index, *proof = head.split("\n")
    check(header == "c2sp.org/tlog-proof@v1", "not a receipt")
    leaf, index = base64.b64decode(extra.removeprefix("extra "), validate=True), int(index.removeprefix("index "))
    _, size, root = open_note(note, keys)
    check(index < size and leaves[index] == leaf, f"receipt {index} is of another leaf")
    node, last, found = index, size - 1, leaf_hash(leaf)
    for sibling in (base64.b64decode(line, validate=True) for line in proof):
        check(last > 0, f"the proof of receipt {index} is too long")
        if node & 1 or node == last:
            found = node_hash(sibling, found)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        node, last = node >> 1, last >> 1
    check(last == 0 and found == root, f"the proof of receipt {index} is wrong")


def verify(prefix):
    def get(path):
        try:
            with urllib.request.urlopen(f"{prefix}/{path}", timeout=30) as answer:
                return answer.read()
        except (urllib.error.URLError, OSError) as error:
            raise Wrong(f"{path}: {error}") from error

    keys = read_keys(get("keys").decode())
    origin, size, root = open_note(get("checkpoint").decode(), keys)
    leaves = []
    for number, width in tiles(size):
        entries = read_entries(get(tile_path("entries", number, width)))
        check(len(entries) == width, f"bundle {number} has {len(entries)} entries")
        leaves += entries
    level, hashes = 0, [leaf_hash(leaf) for leaf in leaves]
    check(root == (root_of(hashes) if hashes else hashlib.sha256().digest()), "the root is wrong")
    while hashes:
        for number, width in tiles(len(hashes)):
            expected = b"".join(hashes[number * 256 : number * 256 + width])
            check(get(tile_path(level, number, width)) == expected, f"tile {level}/{number} is wrong")
        full = range(0, len(hashes) // 256 * 256, 256)
        level, hashes = level + 1, [root_of(hashes[at : at + 256]) for at in full]
    for index in sorted({0, size // 2, size - 1} if size else ()):
        check_receipt(get(f"receipts/{index}").decode(), keys, leaves)
    return f"OK {origin}: {size} leaves, root {base64.b64encode(root).decode()}"


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        print(verify(sys.argv[1].rstrip("/")))
        return 0
    except (Wrong, ValueError, IndexError) as error:
        print(f"WRONG {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
