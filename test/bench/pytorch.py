"""Slices a second of the same network in PyTorch, on the CPU: one JSON line per measurement.

Arguments: width, levels, maximum width, stem (plain or half), stages, threads, seconds, then sizes as BATCHxSIDE.
"""

import json
import sys
import time

import torch
from torch import nn


def channels(width, maximum, level):
    return min(width * 2**level, maximum)


def block(inputs, outputs, size=3, stride=1):
    padding = (size - stride) // 2 if stride > 1 else size // 2
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, padding, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class UNet(nn.Module):
    def __init__(self, inputs, width, levels, maximum, stem):
        super().__init__()
        widths = [channels(width, maximum, level) for level in range(levels)]
        half = stem == "half"
        self.down = nn.ModuleList(
            nn.Sequential(
                block(inputs, own, 6, 2) if half and level == 0 else block(([inputs] + widths)[level], own),
                block(own, own),
            )
            for level, own in enumerate(widths)
        )
        self.refine = nn.ModuleList(
            nn.Sequential(nn.Conv2d(widths[level + 1], widths[level], 3, padding=1), nn.ReLU(inplace=True))
            for level in range(levels - 1)
        )
        self.up = nn.ModuleList(
            nn.Sequential(block(2 * widths[level], widths[level]), block(widths[level], widths[level]))
            for level in range(levels - 1)
        )
        self.last = nn.ConvTranspose2d(widths[0], 1, 2, 2) if half else nn.Conv2d(widths[0], 1, 1)

    def forward(self, x):
        skips = []
        for level, down in enumerate(self.down):
            if level > 0:
                skips.append(x)
                x = nn.functional.max_pool2d(x, 2)
            x = down(x)
        for level in reversed(range(len(self.up))):
            x = self.refine[level](nn.functional.interpolate(x, scale_factor=2, mode="nearest"))
            x = self.up[level](torch.cat([skips[level], x], 1))
        return self.last(x)


class Network(nn.Module):
    """U-Nets one behind the other, each of which sees the image beside what those before made of it: the residual."""

    def __init__(self, width, levels, maximum, stem, stages=1):
        super().__init__()
        self.stages = nn.ModuleList(
            UNet(1 if stage == 0 else 2, width, levels, maximum, stem) for stage in range(stages)
        )

    def forward(self, image):
        residual = self.stages[0](image)
        for stage in list(self.stages)[1:]:
            residual = residual + stage(torch.cat([image, image + residual], 1))
        return residual


def main():
    width, levels, maximum, stem, stages, threads, seconds, *sizes = sys.argv[1:]
    torch.set_num_threads(int(threads))
    network = Network(int(width), int(levels), int(maximum), stem, int(stages)).eval()
    parameters = sum(p.numel() for p in network.parameters())
    network = network.to(memory_format=torch.channels_last)
    for size in sizes:
        batch, side = (int(part) for part in size.split("x"))
        best = 0.0
        # Both layouts are tried with the same time, and the faster one counts.
        for layout in (torch.contiguous_format, torch.channels_last):
            model = network.to(memory_format=layout)
            slices = torch.rand(batch, 1, side, side).to(memory_format=layout)
            with torch.inference_mode():
                traced = torch.jit.freeze(torch.jit.trace(model, slices))
                for _ in range(3):
                    traced(slices)
                done, started = 0, time.perf_counter()
                while time.perf_counter() - started < float(seconds):
                    traced(slices)
                    done += batch
                best = max(best, done / (time.perf_counter() - started))
        line = {"batch": batch, "side": side, "slicesPerSecond": best, "version": torch.__version__}
        print(json.dumps({**line, "parameters": parameters}), flush=True)


if __name__ == "__main__":
    main()
