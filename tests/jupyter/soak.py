"""Runs many cells in one session: all succeed; latency does not grow (with --assert-latency); memory is printed."""

import statistics
import sys
import time

import psutil
from jupyter_client.manager import start_new_kernel

COUNT = int(sys.argv[1])
KINDS = 10


def code(index):
    """Ten kinds of cells in turn; after a hundred cells their variables and items take the places of earlier ones."""
    name = index // KINDS % 10
    return [
        f"let number_{name} = {index};",
        f"number_{name} + 1",
        f"fn item_{name}(x: i64) -> i64 {{ x + {index} }}",
        f"item_{name}(1)",
        f'let frame_{name} = df!("a" => [{index}, 2], "b" => [0.5, 1.5])?;',
        f"frame_{name}.clone().lazy().select([col(\"a\").sum()]).collect()?",
        f"let tensor_{name} = Tensor::from_slice(&[{index}_i64, 2]);",
        f"tensor_{name}.sum(Kind::Int64)",
        f'println!("cell {index}")',
        f"let text_{name} = format!(\"{{}} {{}}\", number_{name}, {index}); text_{name}.len()",
    ][index % KINDS]


def memory(pid):
    """Resident megabytes of the kernel, and of its worker."""
    kernel = psutil.Process(pid)
    workers = [child for child in kernel.children() if "worker" in child.cmdline()]
    return kernel.memory_info().rss / 1e6, sum(worker.memory_info().rss for worker in workers) / 1e6


manager, client = start_new_kernel(kernel_name="glisten")
try:
    seconds, failed, before = [], [], None
    for index in range(COUNT):
        started = time.perf_counter()
        reply = client.execute_interactive(code(index), timeout=60, output_hook=lambda message: None)
        seconds.append(time.perf_counter() - started)
        if reply["content"]["status"] != "ok":
            failed.append((index, reply["content"].get("evalue")))
        # The first round loads what is loaded once.
        if index == min(19, COUNT - 1):
            before = memory(manager.provisioner.pid)
    after = memory(manager.provisioner.pid)
finally:
    client.stop_channels()
    manager.shutdown_kernel(now=True)

# Each kind with itself, since kinds differ by more than what is looked for.
fifth = max(1, COUNT // KINDS // 5)
first = [statistics.median(seconds[kind::KINDS][:fifth]) for kind in range(KINDS)]
last = [statistics.median(seconds[kind::KINDS][-fifth:]) for kind in range(KINDS)]
growth = statistics.median(b / a for a, b in zip(first, last)) - 1
print(f"{COUNT} cells: {sum(first):.2f} s for ten kinds in the first fifth, {sum(last):.2f} s in the last; median {growth:+.1%}")
print(f"memory: kernel {before[0]:.0f} to {after[0]:.0f} MB, worker {before[1]:.0f} to {after[1]:.0f} MB")
assert not failed, failed
if "--assert-latency" in sys.argv:
    assert growth <= 0.10, f"latency grew by {growth:.1%}"
