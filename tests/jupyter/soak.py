"""Runs many cells in one session: all succeed; latency does not grow (with --assert-latency); memory is printed."""

import statistics
import sys
import time

import psutil
from jupyter_client.manager import start_new_kernel

COUNT = int(sys.argv[1])
KINDS = 10
# How often each kind is compared at the end.
ROUNDS = 9


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


def run(client, index):
    """Runs a cell. The seconds until its reply, and what went wrong."""
    started = time.perf_counter()
    reply = client.execute_interactive(code(index), timeout=60, output_hook=lambda message: None)
    seconds = time.perf_counter() - started
    return seconds, None if reply["content"]["status"] == "ok" else (index, reply["content"].get("evalue"))


def growth(old, young, start):
    """How much slower the old session is than a young one, in turn with each other: the machine may have slowed down itself."""
    for index in range(2 * KINDS):
        run(young, index)
    quotients = []
    for _ in range(ROUNDS):
        pairs = [(run(old, start + kind)[0], run(young, start + kind)[0]) for kind in range(KINDS)]
        quotients.append([late / early for late, early in pairs])
    return statistics.median(statistics.median(kind) for kind in zip(*quotients)) - 1


manager, client = start_new_kernel(kernel_name="glisten")
try:
    seconds, failed, before = [], [], None
    for index in range(COUNT):
        needed, problem = run(client, index)
        seconds.append(needed)
        failed += [problem] if problem else []
        # The first round loads what is loaded once.
        if index == min(19, COUNT - 1):
            before = memory(manager.provisioner.pid)
    after = memory(manager.provisioner.pid)
    fifth = max(1, COUNT // 5)
    first, last = sum(seconds[:fifth]) / fifth, sum(seconds[-fifth:]) / fifth
    print(f"{COUNT} cells: {first:.3f} s each in the first fifth, {last:.3f} s in the last")
    print(f"memory: kernel {before[0]:.0f} to {after[0]:.0f} MB, worker {before[1]:.0f} to {after[1]:.0f} MB")
    assert not failed, failed
    if "--assert-latency" in sys.argv:
        young_manager, young = start_new_kernel(kernel_name="glisten")
        try:
            grown = growth(client, young, COUNT)
        finally:
            young.stop_channels()
            young_manager.shutdown_kernel(now=True)
        print(f"latency after {COUNT} cells, over that of a young session in turn with it: {grown:+.1%}")
        assert grown <= 0.10, f"latency grew by {grown:.1%}"
finally:
    client.stop_channels()
    manager.shutdown_kernel(now=True)
