import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** What of this machine decides which engines it can run; tests put another machine in its place. */
export interface Machine {
  platform: NodeJS.Platform;
  arch: string;
  exists(path: string): boolean;
  list(folder: string): string[];
  read(path: string): string;
  /** Folders in which the dynamic loader looks. */
  libraryFolders: string[];
}

export const thisMachine: Machine = {
  platform: process.platform,
  arch: process.arch,
  exists: existsSync,
  list(folder) {
    try {
      return readdirSync(folder);
    } catch {
      return [];
    }
  },
  read(path) {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      return '';
    }
  },
  libraryFolders: [
    ...(process.env.LD_LIBRARY_PATH ?? '').split(':').filter((folder) => folder !== ''),
    '/usr/lib/x86_64-linux-gnu',
    '/usr/lib/aarch64-linux-gnu',
    '/usr/lib64',
    '/usr/lib',
    '/usr/local/cuda/lib64',
    '/usr/local/lib',
  ],
};

/** Names of the NVIDIA GPUs that the driver knows (Linux). */
export function nvidiaDevices(machine: Machine = thisMachine): string[] {
  const named = machine.list('/proc/driver/nvidia/gpus').map((bus) => {
    const model = /^Model:\s*(.+)$/m.exec(machine.read(`/proc/driver/nvidia/gpus/${bus}/information`))?.[1];
    return model?.trim() ?? `NVIDIA GPU at ${bus}`;
  });
  if (named.length > 0) return named;
  return machine
    .list('/dev')
    .flatMap((name) => (/^nvidia\d+$/.test(name) ? [`NVIDIA GPU (/dev/${name})`] : []));
}

/** Graphics devices with which WebGPU may work, in words: NVIDIA GPUs by model, others by their render node. */
export function graphicsDevices(machine: Machine = thisMachine): string[] {
  if (machine.platform === 'darwin') return ['Metal device'];
  if (machine.platform === 'win32') return ['Direct3D 12 device'];
  const nvidia = nvidiaDevices(machine);
  if (nvidia.length > 0) return nvidia;
  return machine
    .list('/dev/dri')
    .filter((name) => name.startsWith('renderD'))
    .map((name) => {
      const driver = /^DRIVER=(.+)$/m.exec(machine.read(`/sys/class/drm/${name}/device/uevent`))?.[1];
      return driver === undefined ? `/dev/dri/${name}` : `/dev/dri/${name} (${driver})`;
    });
}

/** Folder of onnxruntime-node's libraries for this platform; provider libraries belong beside them. */
export function runtimeFolder(machine: Machine = thisMachine): string {
  const entry = createRequire(import.meta.url).resolve('onnxruntime-node');
  return join(dirname(entry), '..', 'bin', 'napi-v6', machine.platform, machine.arch);
}

function hasLibrary(machine: Machine, prefix: string): boolean {
  return machine.libraryFolders.some((folder) =>
    machine.list(folder).some((name) => name.startsWith(prefix)),
  );
}

/**
 * The command that fetches the CUDA and TensorRT providers, which onnxruntime-node does not bundle, with the CUDA and
 * cuDNN libraries that they need.
 */
export const FETCH_PROVIDERS = 'deploy/install-cuda.sh';

/**
 * Why a GPU provider cannot work on this machine, as far as files tell; undefined when it is worth a try.
 * The answer says what is missing and how to get it.
 */
export function whyNot(
  provider: 'webgpu' | 'cuda' | 'tensorrt',
  machine: Machine = thisMachine,
): string | undefined {
  if (provider === 'webgpu') {
    if (graphicsDevices(machine).length === 0) {
      return 'no graphics device (neither /dev/dri/renderD* nor an NVIDIA driver)';
    }
    if (machine.platform === 'linux' && machine.arch !== 'x64') {
      return `onnxruntime-node bundles WebGPU for Linux x64 only, this is ${machine.arch}`;
    }
    if (machine.platform === 'linux' && !hasLibrary(machine, 'libvulkan.so.1')) {
      return 'libvulkan.so.1 is missing: apt-get install libvulkan1 and the Vulkan driver of the GPU';
    }
    return undefined;
  }
  if (machine.platform !== 'linux' || machine.arch !== 'x64') {
    return `onnxruntime-node has CUDA and TensorRT providers for Linux x64 only, this is ${machine.platform} ${machine.arch}`;
  }
  if (nvidiaDevices(machine).length === 0)
    return 'no NVIDIA GPU (neither /proc/driver/nvidia/gpus nor /dev/nvidia* lists one)';
  const folder = runtimeFolder(machine);
  for (const library of ['libonnxruntime_providers_shared.so', `libonnxruntime_providers_${provider}.so`]) {
    if (!machine.exists(join(folder, library))) {
      return `${library} is missing in ${folder}: ${FETCH_PROVIDERS} installs it`;
    }
  }
  if (provider === 'tensorrt' && !hasLibrary(machine, 'libnvinfer.so')) {
    return 'libnvinfer.so (TensorRT) is missing: install TensorRT 10, or use engine: cuda';
  }
  return undefined;
}
