"""Uses Glisten in JupyterLab as a person would: a real server, a real browser, one notebook from top to bottom.

    python lab.py --browser CHROMIUM --folder EMPTY_FOLDER [--dark] [--pictures] NOTEBOOK

Runs all cells of the example notebook on a small slice of its data, and behind them a training that would last for hours;
presses the stop button; then runs the cell below it. What a person would look for is looked for in the page. The first thing
that is not there ends the script with exit status 1, a picture of the page (`failed.png` in the folder) and a sentence.
"""

import argparse
import base64
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import websocket

# When to give up waiting, for the whole script.
UNTIL = time.monotonic() + 115
PARAMETERS = "let n_images: usize = 3_000;\nlet epochs: usize = 2;\nlet seeds: u64 = 1;"
LONG = "Trainer::new(LeNet::for_data(&data)).epochs(100_000).fit(&data, &study)?;"
AFTER = 'println!("still {} images and {} runs", data.train.len(), study.runs()?.height());'
# JavaScript for the notebook's widget.
PANEL = "[...jupyterapp.shell.widgets('main')].find(widget => widget.sessionContext)"
SETTINGS = {
    # All cells stay in the page, also those out of sight.
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
}


class Failed(Exception):
    """Something is not as a user would expect it."""


class Page:
    """A page of the browser, by its DevTools protocol."""

    def __init__(self, address):
        self.socket = websocket.create_connection(address, timeout=30, suppress_origin=True)
        self.count = 0

    def call(self, method, **parameters):
        self.count += 1
        self.socket.send(json.dumps({"id": self.count, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == self.count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def evaluate(self, expression):
        """The value of an expression of JavaScript; a promise is waited for."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, what, expression, until):
        """Waits until an expression is true, and returns it."""
        while True:
            with contextlib.suppress(RuntimeError):
                value = self.evaluate(expression)
                if value:
                    return value
            if time.monotonic() > until:
                raise Failed(f"waited for {what} in vain")
            time.sleep(0.1)

    def click(self, what, selector, until):
        """Presses the left button of the mouse over the first element that `selector` finds."""
        find = f"document.querySelector({json.dumps(selector)})"
        place = f"(r => r && r.width && [r.x + r.width / 2, r.y + r.height / 2])({find}?.getBoundingClientRect())"
        x, y = self.wait(what, place, until)
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"]:
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def picture(self, path):
        """A picture of the whole notebook, as high as it is."""
        height = self.evaluate("document.querySelector('.jp-WindowedPanel-inner, .jp-WindowedPanel-viewport')?.scrollHeight ?? 0")
        self.resize(min(max(900, height + 130), 8_000))
        time.sleep(0.5)
        self.evaluate("document.querySelector('.jp-WindowedPanel-outer')?.scrollTo(0, 0)")
        time.sleep(0.5)
        data = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))
        self.resize(900)

    def resize(self, height):
        self.call("Emulation.setDeviceMetricsOverride", width=1200, height=height, deviceScaleFactor=1, mobile=False)


@contextlib.contextmanager
def running(command, **options):
    """A process for the time being."""
    process = subprocess.Popen(command, **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def small_copy(notebook, path):
    """The notebook with small parameters, and behind its end a long training and a cell that uses what was there before."""
    content = json.loads(notebook.read_text())
    for cell in content["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            cell["source"] = PARAMETERS
    for name, source in [("long", LONG), ("after", AFTER)]:
        cell = {"cell_type": "code", "id": name, "metadata": {}, "source": source, "outputs": [], "execution_count": None}
        content["cells"].append(cell)
    path.write_text(json.dumps(content))


def start_lab(folder, dark, stack):
    """JupyterLab on `folder`, with settings of its own; returns the address of its notebook."""
    settings = dict(SETTINGS)
    if dark:
        settings["apputils-extension/themes"] = {"theme": "JupyterLab Dark"}
    for name, content in settings.items():
        path = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    port = free_port()
    environment = os.environ | {
        "HOME": str(folder),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTER_PREFER_ENV_PATH": "1",
        # Where the data is, and rustc, also with another home.
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
        "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", str(Path.home() / ".rustup")),
        "CARGO_HOME": os.environ.get("CARGO_HOME", str(Path.home() / ".cargo")),
        "OMP_NUM_THREADS": "1",
    }
    environment.pop("GLISTEN_STORE", None)
    options = ["--no-browser", "--allow-root", f"--port={port}", "--ServerApp.port_retries=0", "--expose-app-in-browser"]
    options += ["--IdentityProvider.token=", f"--ServerApp.root_dir={folder / 'notebooks'}"]
    log = stack.enter_context(open(folder / "lab.log", "w"))
    command = [sys.executable, "-m", "jupyterlab", *options]
    lab = stack.enter_context(running(command, env=environment, cwd=folder, stdout=log, stderr=log))
    address = f"http://127.0.0.1:{port}"
    while True:
        try:
            urllib.request.urlopen(f"{address}/api", timeout=5).close()
            return f"{address}/lab/tree/small.ipynb"
        except OSError:
            if lab.poll() is not None or time.monotonic() > UNTIL:
                raise Failed(f"JupyterLab does not start: {(folder / 'lab.log').read_text()[-2000:]}") from None
            time.sleep(0.1)


def open_page(browser, folder, stack):
    profile = folder / "profile"
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    options += ["--disable-component-update", "--disable-dev-shm-usage", "--window-size=1200,900", "--remote-debugging-port=0"]
    log = stack.enter_context(open(folder / "browser.log", "w"))
    command = [browser, *options, f"--user-data-dir={profile}", "about:blank"]
    stack.enter_context(running(command, stdout=log, stderr=log))
    while time.monotonic() < UNTIL:
        with contextlib.suppress(OSError, ValueError, StopIteration):
            port = int((profile / "DevToolsActivePort").read_text().split()[0])
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=5) as answer:
                target = next(target for target in json.load(answer) if target["type"] == "page")
            page = Page(target["webSocketDebuggerUrl"])
            page.resize(900)
            return page
        time.sleep(0.1)
    raise Failed(f"the browser does not start: {(folder / 'browser.log').read_text()[-2000:]}")


def code_cell(index):
    """JavaScript for the code cell of that number; from the end, where it is negative."""
    return f"[...document.querySelectorAll('.jp-CodeCell')].at({index})"


def visit(page, address, folder, pictures):
    """What a user does and sees. `pictures` are taken on the way where they are wanted."""
    until = UNTIL
    page.call("Page.navigate", url=address)
    page.wait("the notebook", "document.querySelectorAll('.jp-CodeCell').length > 9 && !!window.jupyterapp", until)
    kernel = f"{PANEL}.sessionContext.session?.kernel"
    idle = f"(k => k?.connectionStatus === 'connected' && k.status === 'idle')({kernel})"
    page.wait("the kernel", idle, until)
    # A promise that ends with the last cell: not waited for.
    page.evaluate("void jupyterapp.commands.execute('notebook:run-all-cells')")
    said("run all cells")

    # The first training shows itself before it has ended. The running bar and the finished runs share one display.
    page.wait("a progress bar", "!!document.querySelector('.glisten-progress progress')", until)
    if pictures:
        time.sleep(1)
        page.picture(folder / "training.png")
    said("a training shows how far it is")

    page.wait("the long training", f"!!{code_cell(-2)}.querySelector('progress')", until)
    errors = page.evaluate("[...document.querySelectorAll('[data-mime-type=\"application/vnd.jupyter.stderr\"]')].map(e => e.innerText)")
    if errors:
        raise Failed(f"cells wrote to stderr: {errors}")
    tables = page.evaluate("[...document.querySelectorAll('table.dataframe')].map(t => t.innerText)")
    if not any("validation:accuracy.max" in table and "glister" in table for table in tables):
        raise Failed(f"no table of runs among {tables}")
    said("the runs are a table")
    drawn = "[...document.querySelectorAll('.glisten-chart img')].filter(i => i.complete && i.naturalWidth > 200).length > 3"
    page.wait("three charts", drawn, until)
    said("the charts are drawn")
    page.wait("the images of the data", "document.querySelector('.glisten-images img')?.naturalWidth > 100", until)
    said("the data is shown as images")
    link = "document.querySelector('.glisten-report a').href"
    if "<svg" not in page.evaluate(f"fetch({link}).then(answer => answer.text())"):
        raise Failed(f"the report's link leads to no report: {page.evaluate(link)}")
    said("the report's link leads to it")

    value = f"{code_cell(-2)}.querySelector('progress')?.value"
    first = page.evaluate(value)
    second = page.wait("the bar to move", f"(v => v > {first} && v)({value})", until)
    said(f"the bar moves: from epoch {first} to {second}")
    live = f"!!{code_cell(-2)}.querySelector('.glisten-chart img')"
    page.wait("the live chart", live, until)
    if pictures:
        time.sleep(3)
        page.picture(folder / "long.png")

    began = time.monotonic()
    page.click("the stop button", "[data-jp-item-name=interrupt] [title^=Interrupt], [data-jp-item-name=interrupt] *", until)
    page.wait("the cell to end", f"{idle} && !{code_cell(-2)}.querySelector('progress')", began + 10)
    took = time.monotonic() - began
    text = page.evaluate(f"{code_cell(-2)}.querySelector('.jp-OutputArea').innerText")
    if "stored as stopped" not in text or text.count("KeyboardInterrupt") != 1:
        raise Failed(f"the stopped training does not say so once: {text}")
    said(f"the stop button stops, after {took:.1f} s")

    # The cell below, by hand: a click into it, and shift-enter's command.
    page.evaluate(f"{code_cell(-1)}.scrollIntoView()")
    page.evaluate(
        f"(notebook => {{ notebook.activeCellIndex = notebook.widgets.length - 1 }})({PANEL}.content)"
    )
    page.evaluate("void jupyterapp.commands.execute('notebook:run-cell')")
    output = f"{code_cell(-1)}.querySelector('.jp-OutputArea')?.innerText"
    page.wait("the variables", f"{output}?.includes('still 2700 images and 11 runs')", until)
    said("the variables are still there")
    if pictures:
        page.picture(folder / "end.png")


def said(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--browser", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--dark", action="store_true", help="in JupyterLab's dark theme")
    parser.add_argument("--pictures", action="store_true", help="leave pictures of the page in the folder")
    parser.add_argument("notebook", type=Path)
    args = parser.parse_args()
    folder = args.folder.absolute()
    (folder / "notebooks").mkdir(parents=True)
    small_copy(args.notebook, folder / "notebooks" / "small.ipynb")
    with contextlib.ExitStack() as stack:
        page = None
        try:
            address = start_lab(folder, args.dark, stack)
            page = open_page(args.browser, folder, stack)
            visit(page, address, folder, args.pictures)
        except Failed as failure:
            print(f"failed: {failure}", file=sys.stderr)
            if page is not None:
                page.picture(folder / "failed.png")
                outputs = "[...document.querySelectorAll('.jp-OutputArea')].map(o => o.innerText)"
                print("the outputs:", *page.evaluate(outputs), sep="\n", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
