/** A trial that ends as its model path says. */
const how = process.argv[2] ?? '';
if (how.endsWith('abort')) process.abort();
if (how.endsWith('hang')) setInterval(() => {}, 1000);
if (how.endsWith('wrong')) console.log(JSON.stringify({ ok: true, difference: 0.4 }));
if (how.endsWith('nan')) console.log(JSON.stringify({ ok: true, difference: Number.POSITIVE_INFINITY }));
if (how.endsWith('driver')) {
  const message =
    '/onnxruntime_src/cuda_call.cc:154 void onnxruntime::CudaCall(int) [with ERRTYPE = cudaError] CUDA failure 35: ' +
    'CUDA driver version is insufficient for CUDA runtime version ; GPU=-1 ; hostname=host ; file=provider.cc ; line=352 ; expr=cudaSetDevice(id);';
  console.log(JSON.stringify({ ok: false, message }));
}
if (how.endsWith('right'))
  console.log(`a driver's chatter\n${JSON.stringify({ ok: true, difference: 1e-4 })}`);
