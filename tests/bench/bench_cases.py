"""What is measured, and what is wanted of it."""

import dataclasses

KIB, MIB = 1 << 10, 1 << 20

# Messages of one field each, of nearly the size that names them: points of the grid times bits a value, and a head.
TEMPLATES = {
    "4k": ("--grid", "5", "--bits", "12"),     # 4,195 bytes
    "64k": ("--grid", "1", "--bits", "8"),     # 65,359 bytes
    "1m": ("--grid", "0.25", "--bits", "8"),   # 1,038,439 bytes
}


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    text: str
    connections: int
    rate_wanted: float                 # ours over nginx's, at least
    size: int = 0                      # GET: bytes a range
    ranges: int = 1                    # a request
    template: str = ""                 # PUT: which message
    tls: bool = False                  # TLS 1.3 with AES-128-GCM
    cpu_wanted: float | None = None    # CPU time a request, ours over nginx's, at most
    p99_wanted: float | None = None    # the same of the 99th percentile of latency

    @property
    def is_put(self):
        return self.template != ""


CASES = (
    Case("read-4k-16", "ranges of 4 KiB", 16, 1.4, size=4 * KIB, cpu_wanted=0.75, p99_wanted=1.0),
    Case("read-4k-64", "ranges of 4 KiB", 64, 1.4, size=4 * KIB, cpu_wanted=0.75, p99_wanted=1.0),
    Case("read-64k-16", "ranges of 64 KiB", 16, 1.05, size=64 * KIB),
    Case("read-64k-tls", "ranges of 64 KiB over TLS 1.3", 16, 1.1, size=64 * KIB, tls=True),
    Case("read-1m-16", "ranges of 1 MiB", 16, 1.0, size=MIB),
    Case("read-16x4k-16", "16 ranges of 4 KiB in one request", 16, 3.0, size=4 * KIB, ranges=16),
    Case("put-4k-64", "PUT of 4 KiB messages", 64, 1.3, template="4k"),
    Case("put-64k-64", "PUT of 64 KiB messages", 64, 1.3, template="64k"),
    Case("put-1m-64", "PUT of 1 MiB messages", 64, 1.5, template="1m", p99_wanted=0.2),
)
