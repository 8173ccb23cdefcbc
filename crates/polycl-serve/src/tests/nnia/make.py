"""Arrays as the official client packs them, for the tests of the decoder.

    pip install nninteractive-client==2.6.0 numpy
    python make.py
"""

from pathlib import Path

import blosc2
import numpy as np
from nnInteractive.inference.remote.serialization import pack_array

HERE = Path(__file__).parent
PLAIN, SHUFFLED = [blosc2.Filter.NOFILTER], [blosc2.Filter.SHUFFLE]
count = np.arange(1 * 20 * 64 * 65)
ramp = count // 7 % 2003 - 1000
ARRAYS = {
    # A name, an array, and how the client is told to pack it. `nnia.rs` knows the same values.
    "int16": (ramp.astype(np.int16), None),
    "int16_plain": (ramp.astype(np.int16), {"filters": PLAIN}),
    "float32": (ramp.astype(np.float32) / 4, {"filters": SHUFFLED}),
    "float64": (ramp.astype(np.float64) / 4, {"filters": SHUFFLED}),
    "float16": ((ramp % 50).astype(np.float16) / 4, {"filters": SHUFFLED}),
    "uint8": ((count % 251).astype(np.uint8), {"filters": PLAIN}),
    "int32_threads": (ramp.astype(np.int32), {"nthreads": 2}),
    "zeros": (np.zeros(count.shape, np.uint8), {"filters": PLAIN}),
    "ones": (np.ones(count.shape, np.uint8), {"filters": PLAIN}),
    "air": (np.full(count.shape, -1000, np.int16), {"filters": SHUFFLED}),
    "lz4": (ramp.astype(np.int16), {"codec": blosc2.Codec.LZ4}),
}
for name, (array, how) in ARRAYS.items():
    (HERE / f"{name}.nnia").write_bytes(pack_array(array.reshape(1, 20, 64, 65), **(how or {})))
noise = np.random.default_rng(0).integers(0, 256, (1, 3, 7, 11)).astype(np.uint8)
(HERE / "noise.nnia").write_bytes(pack_array(noise, filters=PLAIN))
(HERE / "noise.raw").write_bytes(noise.tobytes())
(HERE / "one.nnia").write_bytes(pack_array(np.ones((1, 1, 1), bool)))
