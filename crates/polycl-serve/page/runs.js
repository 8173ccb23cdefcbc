// Runs of labels as the server sends them: u32 length, u16 label, little endian.

export function eachRun(buffer, tell) {
  const view = new DataView(buffer.buffer ?? buffer, buffer.byteOffset ?? 0, buffer.byteLength);
  for (let at = 0, from = 0; at + 6 <= view.byteLength; at += 6) {
    const length = view.getUint32(at, true);
    tell(from, length, view.getUint16(at + 4, true));
    from += length;
  }
}

export function unpack(buffer, into, offset = 0) {
  eachRun(buffer, (from, length, label) => into.fill(label, offset + from, offset + from + length));
}

export function fromBase64(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/// Start and length of the runs of pixels that `wanted` lets pass.
export function runsWhere(length, wanted) {
  const runs = [];
  for (let at = 0; at < length; at++) {
    if (!wanted(at)) continue;
    const from = at;
    while (at < length && wanted(at)) at++;
    runs.push([from, at - from]);
  }
  return runs;
}
