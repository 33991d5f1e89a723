#!/usr/bin/env python3
"""Makes docs/demo.svg: runs the demo, and draws what it printed as a picture.

    cargo build --release && docs/demo.py
"""

import html
import pathlib
import subprocess
import sys

root = pathlib.Path(__file__).resolve().parent.parent
program = sys.argv[1] if len(sys.argv) > 1 else root / "target/release/weir"
arguments = ["demo", "--for", "5s", "--admin", "127.0.0.1:0"]
printed = subprocess.run([program, *arguments], check=True, capture_output=True, text=True).stdout
lines = ["$ weir demo --for 5s"] + printed.rstrip().splitlines()[1:]

FONT, WIDTH, HEIGHT, MARGIN = 14, 8.43, 20, 16
width = round(max(map(len, lines)) * WIDTH + 2 * MARGIN)
height = len(lines) * HEIGHT + 2 * MARGIN
rows = "\n".join(
    f'<text x="{MARGIN}" y="{MARGIN + (number + 1) * HEIGHT - 5}" xml:space="preserve">{html.escape(line)}</text>'
    for number, line in enumerate(lines)
)
svg = f"""<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">
<title>What weir demo prints</title>
<rect width="100%" height="100%" rx="8" fill="#16181d"/>
<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="{FONT}" fill="#d7dae0">
{rows}
</g>
</svg>
"""
(root / "docs/demo.svg").write_text(svg)
