"""A disk that lies: one bit of a stream's file is not what it was."""

from __future__ import annotations

from pathlib import Path


def flip_a_bit(store: Path, stream: str) -> Path:
    """Flip one bit in the middle of the newest block of the stream, whose server is stopped; the file."""
    blocks = sorted(store.glob(f"**/streams/{stream}/msgs/*.blk"), key=lambda path: int(path.stem))
    assert blocks, f"no block of {stream} in {store}"
    block = blocks[-1]
    with block.open("r+b") as file:
        middle = block.stat().st_size // 2
        file.seek(middle)
        byte = file.read(1)[0]
        file.seek(middle)
        file.write(bytes([byte ^ 1]))
    return block
