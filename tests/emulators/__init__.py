"""Exchanges on loopback: the simulated matching engine behind the exchanges' own wire protocols.

Each file is one exchange, and knows nothing of bestex but the engine: what talks to it is an unmodified client
library, or our own adapter. `python -m tests.emulators.binance --help` runs one by hand. What is said to an emulator
by tests (faults, clock skew, counts) goes over `/_emulator/` on the same port; see `server`.
"""
