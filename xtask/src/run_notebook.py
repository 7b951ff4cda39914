"""Runs a notebook through a Jupyter kernel with nbclient, and shows what its cells write as it arrives.

    python run_notebook.py [--kernel NAME] NOTEBOOK OUTPUT

The cells run in OUTPUT's folder. OUTPUT appears whole, or not at all; where a cell fails, the notebook so far is written
beside it as `*.failed.ipynb`, and the exit status is 1.
"""

import argparse
import asyncio
import os
import re
import signal
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Screen:
    """Lines on stdout, with one line below them that is overwritten (in a log: repeated twice a minute)."""

    def __init__(self):
        self.is_terminal = sys.stdout.isatty()
        self.passing = ""
        self.last_logged = 0.0

    def write(self, text):
        """Shows a text that stays; a part of a line that ends with a carriage return passes."""
        for line in re.findall(r"[^\n]*\n|[^\n]+$", text):
            pieces = [p for p in ANSI.sub("", line).rstrip("\n").split("\r") if p.strip()]
            if not pieces and line.endswith("\n"):
                self.clear()
                print(flush=True)
            elif pieces and (line.endswith("\n") or "\r" not in line):
                self.clear()
                print("    " + pieces[-1], flush=True)
            elif pieces:
                self.pass_by(pieces[-1])

    def pass_by(self, text):
        """Shows a text that the next one replaces."""
        text = " ".join(text.split())
        if self.is_terminal:
            text = text[: max(20, os.get_terminal_size().columns - 6)]
            print("\r\x1b[2K    " + text, end="", flush=True)
            self.passing = text
        elif time.monotonic() - self.last_logged > 30:
            self.last_logged = time.monotonic()
            print("    " + text, flush=True)

    def clear(self):
        if self.passing:
            print("\r\x1b[2K", end="", flush=True)
            self.passing = ""


class Client(NotebookClient):
    """A notebook client that shows outputs while they arrive."""

    screen = Screen()

    def process_message(self, msg, cell, cell_index):
        content = msg["content"]
        kind = msg["msg_type"]
        plain = content.get("data", {}).get("text/plain", "") if kind != "stream" else ""
        if kind == "stream":
            self.screen.write(content["text"])
        elif kind == "update_display_data" or (kind == "display_data" and content.get("transient", {}).get("display_id")):
            self.screen.pass_by(plain)
        elif kind in ("display_data", "execute_result") and plain:
            self.screen.write(plain.rstrip("\n") + "\n")
        return super().process_message(msg, cell, cell_index)


def run(notebook, output, kernel):
    nb = nbformat.read(notebook, as_version=4)
    n_cells = sum(cell.cell_type == "code" for cell in nb.cells)
    began = {}
    stopped = []

    def stop(task):
        stopped.append(True)
        task.cancel()

    def on_start(cell, cell_index):
        if cell.cell_type != "code":
            return
        # In place of nbclient's own handlers, after which a kernel that was ended looks like one that died. Cancelled, nbclient
        # ends the kernel, which no signal reaches: it runs in a session of its own.
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop, asyncio.current_task())
        began[cell_index] = time.monotonic()
        first = next((line for line in cell.source.splitlines() if line.strip()), "")
        print(f"[{len(began)}/{n_cells}] {first}", flush=True)

    def on_end(cell, cell_index, execute_reply):
        client.screen.clear()
        secs = time.monotonic() - began[cell_index]
        if secs > 1:
            print(f"    ({secs:.1f} s)", flush=True)

    client = Client(
        nb,
        timeout=None,
        startup_timeout=180,
        kernel_name=kernel,
        coalesce_streams=True,
        resources={"metadata": {"path": str(output.parent)}},
        on_cell_execute=on_start,
        on_cell_executed=on_end,
    )
    try:
        client.execute()
    except CellExecutionError as error:
        client.screen.clear()
        failed = output.with_suffix(".failed.ipynb")
        write(nb, failed)
        print(f"{ANSI.sub('', error.traceback).rstrip()}\n(the notebook so far: {failed})", file=sys.stderr)
        return 1
    except (DeadKernelError, asyncio.CancelledError):
        client.screen.clear()
        if stopped:
            return 130
        failed = output.with_suffix(".failed.ipynb")
        write(nb, failed)
        print(f"the kernel died (the notebook so far: {failed})", file=sys.stderr)
        return 1
    write(nb, output)
    output.with_suffix(".failed.ipynb").unlink(missing_ok=True)
    return 0


def write(nb, path):
    part = path.with_name(path.name + ".part")
    nbformat.write(nb, part)
    os.replace(part, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", default="glisten")
    parser.add_argument("notebook", type=Path)
    parser.add_argument("output", type=Path)
    args = parser.parse_args()
    # Until the first cell runs.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return run(args.notebook, args.output.absolute(), args.kernel)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
