"""Figures of a comparison: medians, ratios of medians, a table."""

import statistics

SIDES = ("ours", "nginx")
WIDTHS = (15, 10, 10, 7, 7, 9, 9, 9, 9, 8, 8, 7, 7)


def median(rounds, side, key):
    return statistics.median(measured[side][key] for measured in rounds)


def ratio(a, b):
    return a / b if b else float("nan")


def summarize(case, rounds):
    """One row: medians of each side, and the ratios of the medians."""
    row = {"name": case.name, "text": case.text, "connections": case.connections, "rounds": rounds}
    for side in SIDES:
        row[side] = {key: median(rounds, side, key) for key in (
            "rate", "bytes_rate", "p50_us", "p99_us", "max_us", "cpu_us", "server_busy", "client_busy", "others_busy")}
    for key in ("rate", "p50_us", "p99_us", "cpu_us"):
        row[f"ratio_{key}"] = ratio(row["ours"][key], row["nginx"][key])
    row["wanted"] = {"rate": case.rate_wanted, "cpu_us": case.cpu_wanted, "p99_us": case.p99_wanted}
    return row


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def wanted(row, key):
    value = row["wanted"][key]
    return "" if value is None else f"{'>=' if key == 'rate' else '<='}{value:g}"


def line(cells):
    return " ".join(str(cell).rjust(width) if place else str(cell).ljust(width)
                    for place, (cell, width) in enumerate(zip(cells, WIDTHS, strict=True)))


def table(rows):
    """Rates are a second, latencies ms, CPU us a request; `x` is ours over nginx's."""
    lines = [
        line(("", "requests/s", "", "", "", "p50 ms", "", "p99 ms", "", "CPU us", "", "", "")),
        line(("case", "ours", "nginx", "x", "wanted", "ours", "nginx", "ours", "nginx", "ours", "nginx", "x", "wanted")),
    ]
    for row in rows:
        ours, nginx = row["ours"], row["nginx"]
        lines.append(line((
            row["name"], number(ours["rate"]), number(nginx["rate"]), f"{row['ratio_rate']:.2f}", wanted(row, "rate"),
            number(ours["p50_us"] / 1000), number(nginx["p50_us"] / 1000), number(ours["p99_us"] / 1000),
            number(nginx["p99_us"] / 1000), number(ours["cpu_us"]), number(nginx["cpu_us"]), f"{row['ratio_cpu_us']:.2f}",
            wanted(row, "cpu_us"))))
    return "\n".join(lines)


def busy_table(rows):
    """Who was busy: a client near 100 % is what limits, and others' load is noise."""
    lines = ["busy, % of a CPU: server, client, all else"]
    for row in rows:
        cells = []
        for side in SIDES:
            cells.append(f"{side} " + "/".join(f"{100 * row[side][key]:.0f}" for key in (
                "server_busy", "client_busy", "others_busy")))
        lines.append(f"{row['name'].ljust(WIDTHS[0])} {'   '.join(cells)}   MB/s {row['ours']['bytes_rate'] / 1e6:,.0f} "
                     f"{row['nginx']['bytes_rate'] / 1e6:,.0f}")
    return "\n".join(lines)
