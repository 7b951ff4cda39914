"""PyTorch's part of `cargo xtask bench training`: eager training at its best. The last line it prints is JSON.

`training.py speed MODEL PRECISION IMAGES BATCH EPOCHS [DEVICE [FORMAT [MODE]]]`: images per second. The data are tensors in the
device's memory and a batch is one gather; SGD is the fused one; gradients are set to none. Both memory formats are tried in a
first epoch, which warms up as well, and the faster one is timed, unless FORMAT (`channels-last`, `channels-first`) names one.
Augmentation is done on whole batches. MODE is `eager` or `compile` (torch.compile, which fuses and, on a GPU, records graphs).
`training.py curve FOLDER`: the losses of the epochs that `training.rs curve FOLDER` has laid down there; and again with
another number of threads, which rounds differently.
"""

import json
import math
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

# PyTorch's wheel is linked to libraries of CUDA, gigabytes that only a GPU needs. Empty ones in their place, and functions
# looked up at their first call, let it be imported.
CUDA = """libcublas.so.13 libcublasLt.so.13 libcudnn.so.9 libcufft.so.12 libcufile.so.0 libcurand.so.10 libcusolver.so.12
libcusparse.so.12 libcusparseLt.so.0 libnccl.so.2 libnvshmem_host.so.3""".split()
LIB = Path(find_spec("torch").submodule_search_locations[0]) / "lib"
HAS_GPU = Path("/proc/driver/nvidia/version").exists()
for name in [] if HAS_GPU else CUDA:
    if not any(LIB.parent.parent.glob(f"nvidia/*/lib/{name}")) and not (LIB / name).exists():
        part = LIB / f"{name}.part"
        command = ["cc", "-shared", "-nostdlib", "-x", "c", os.devnull, f"-Wl,-soname,{name}", "-o", str(part)]
        subprocess.run(command, check=True)
        part.rename(LIB / name)
FLAGS = sys.getdlopenflags()
if not HAS_GPU:
    sys.setdlopenflags(os.RTLD_LAZY | os.RTLD_GLOBAL)

import torch  # noqa: E402

# What is loaded later, Triton's compiler for one, has symbols of its own that must not meet these.
sys.setdlopenflags(FLAGS)
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

MEAN, DEVIATION = 80.0, 50.0


class LeNet(nn.Module):
    def __init__(self, channels=1):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x), inplace=True), 2)
        x = F.max_pool2d(F.relu(self.conv2(x), inplace=True), 2)
        x = F.relu(self.fc1(x.flatten(1)), inplace=True)
        return self.fc3(F.relu(self.fc2(x), inplace=True))


class Block(nn.Module):
    def __init__(self, before, after, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(after), nn.BatchNorm2d(after)
        self.shortcut = nn.Sequential()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        y = self.norm2(self.conv2(y))
        y += self.shortcut(x)
        return F.relu(y, inplace=True)


class ResNet18(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64)
        blocks, before = [], 64
        for width, stride in [(64, 1), (128, 2), (256, 2), (512, 2)]:
            blocks += [Block(before, width, stride), Block(width, width, 1)]
            before = width
        self.blocks, self.last = nn.Sequential(*blocks), nn.Linear(512, 10)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x):
        x = self.blocks(F.relu(self.norm(self.conv(x)), inplace=True))
        return self.last(F.adaptive_avg_pool2d(x, 1).flatten(1))


def optimizer(model):
    return torch.optim.SGD(
        model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=True, fused=True
    )


def set_rate(steps, rate):
    for group in steps.param_groups:
        group["lr"] = rate


def augment(images):
    """Crops out of four pixels of padding, and flips: u8 [B, C, H, W], by index arithmetic on the whole batch."""
    n, _, height, width = images.shape
    on = {"device": images.device}
    padded = F.pad(images, (4, 4, 4, 4))
    rows = torch.arange(height, **on) + torch.randint(0, 9, (n, 1), **on)
    columns = torch.arange(width, **on).expand(n, width)
    columns = torch.where(torch.rand(n, 1, **on) < 0.5, columns.flip(1), columns) + torch.randint(0, 9, (n, 1), **on)
    channels = torch.arange(images.shape[1], **on).view(1, -1, 1, 1)
    return padded[torch.arange(n, **on).view(n, 1, 1, 1), channels, rows.view(n, 1, height, 1), columns.view(n, 1, 1, width)]


def speed(name, precision, n, batch, epochs, device="cpu", only=None, mode="eager"):
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    channels, side = (1, 28) if name == "lenet" else (3, 32)
    images = torch.randint(0, 256, (n, channels, side, side), dtype=torch.uint8, device=device)
    labels = torch.randint(0, 10, (n,), device=device)

    def contestant(memory_format):
        model = (LeNet() if name == "lenet" else ResNet18()).to(device, memory_format=memory_format)
        steps = optimizer(model)
        if mode == "compile":
            model = torch.compile(model, mode="reduce-overhead" if device != "cpu" else None)

        def epoch():
            start = time.perf_counter()
            order, total = torch.randperm(n, device=device), torch.zeros((), device=device)
            correct = torch.zeros((), dtype=torch.int64, device=device)
            for indices in order.split(batch):
                inputs, targets = images[indices], labels[indices]
                if name != "lenet":
                    inputs = augment(inputs)
                inputs = inputs.float().sub_(MEAN).mul_(1 / DEVIATION).contiguous(memory_format=memory_format)
                with torch.autocast(device.split(":")[0], dtype=torch.bfloat16, enabled=precision == "bf16"):
                    outputs = model(inputs)
                loss = F.cross_entropy(outputs.float(), targets)
                steps.zero_grad(set_to_none=True)
                loss.backward()
                steps.step()
                with torch.no_grad():
                    total += loss.detach() * len(targets)
                    correct += (outputs.argmax(1) == targets).sum()
            total.item(), correct.item()
            return time.perf_counter() - start

        return epoch

    formats = {"channels-first": torch.contiguous_format, "channels-last": torch.channels_last}
    formats = {name: formats[name] for name in formats if only in (None, name)}
    contestants = {name: contestant(memory_format) for name, memory_format in formats.items()}
    # Kernels are chosen and memory is got at the first batches: of two short epochs the second says which is faster.
    first = {name: min(epoch(), epoch()) if epochs > 1 else epoch() for name, epoch in contestants.items()}
    best = min(first, key=first.get)
    seconds = sum(contestants[best]() for _ in range(epochs))
    used = torch.cuda.max_memory_reserved() / 1e6 if device != "cpu" else None
    return {
        "images_per_second": n * epochs / seconds,
        "format": best,
        "threads": torch.get_num_threads(),
        "gpu_megabytes": used,
    }


def curve(folder):
    import numpy

    arrays = {name: torch.from_numpy(array) for name, array in numpy.load(Path(folder) / "curve.npz").items()}
    inputs, labels, orders = arrays["inputs"], arrays["labels"], arrays["orders"]
    rate = arrays["rate"].item()
    batch, n_steps = 128, len(orders) * math.ceil(len(inputs) / 128)

    def losses(threads):
        torch.set_num_threads(threads)
        model = LeNet()
        weights = {name[len("weights/") :].replace("|", "."): w for name, w in arrays.items() if name.startswith("weights/")}
        model.load_state_dict(weights)
        steps, done, means = optimizer(model), 0, []
        for order in orders:
            total = 0.0
            for indices in order.split(batch):
                set_rate(steps, rate * 0.5 * (1 + math.cos(math.pi * done / n_steps)))
                loss = F.cross_entropy(model(inputs[indices]), labels[indices])
                steps.zero_grad(set_to_none=True)
                loss.backward()
                steps.step()
                total += loss.item() * len(indices)
                done += 1
            means.append(total / len(inputs))
        return means

    threads = torch.get_num_threads()
    return {"losses": losses(threads), "again": losses(1 if threads > 1 else 2)}


def main():
    match sys.argv[1:]:
        case ["speed", name, precision, n, batch, epochs, *on] if len(on) <= 3:
            result = speed(name, precision, int(n), int(batch), int(epochs), *on)
        case ["curve", folder]:
            result = curve(folder)
        case arguments:
            form = "`speed MODEL PRECISION IMAGES BATCH EPOCHS [DEVICE [FORMAT [MODE]]]` or `curve FOLDER`"
            sys.exit(f"expected {form}, got {arguments}")
    print(json.dumps(result))


main()
