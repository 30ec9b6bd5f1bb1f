"""What tests of the ledger share: records, and files that hold them."""

from dmft_rf.files.ledger import Ledger

WORK = {"work": "w", "package_version": "0.1.0", "git_commit": "abc"}
RECORDS = {f"sweep/{i}": bytes([i]) * 112 for i in range(24)}


def filled(path, records=RECORDS, identity=WORK):
    """The bytes of a ledger with these records."""
    with Ledger(path, identity) as ledger:
        for record in records.items():
            ledger.add([record])
    return path.read_bytes()


def held(path, identity=WORK):
    with Ledger(path, identity) as ledger:
        return dict(ledger.records())


def alone(path):
    """Whether nothing stands beside a file."""
    return [place.name for place in path.parent.iterdir()] == [path.name]


# -- damage -------------------------------------------------------------------------------------


def flipped(content, bit):
    damaged = bytearray(content)
    damaged[bit // 8] ^= 1 << (bit % 8)
    return bytes(damaged)
