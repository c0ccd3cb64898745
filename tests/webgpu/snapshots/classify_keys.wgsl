// see params.wgsl
@group(0) @binding(1) var<storage, read_write> schedule: array<atomic<u32>>;
fn word(i: u32) -> u32 { return atomicLoad(&schedule[i]); }
fn four(at: u32) -> u32 {
  let low = word(at >> 2u); let shift = (at & 3u) * 8u;
  if (shift == 0u) { return low; }
  return (low >> shift) | (word((at >> 2u) + 1u) << (32u - shift));
}
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let piece = U.item_base + wid.x; let tile = piece % U.count;
  let number = U.source_at + piece / U.count; let item = number * 8u;
  let batch = word(item); let first = word(item + 1u);
  let begin = word(item + 2u) + tile * U.tile_columns;
  let end = min(word(item + 3u), begin + U.tile_columns);
  if (begin >= end) { return; }
  let row = begin; let row_end = end;
  let key = first; let key_end = min(first + U.tile_rows, word(item + 6u));
  // what repeats is read once
  let query = row / U.group;
  let queries = select((row_end - 1u) / U.group + 1u - query, 1u, U.mask_row == 0u);
  let keys = select(key_end - key, 1u, U.mask_column == 0u);
  let fours = (keys + 3u) / 4u;
  var found = 0u;
  for (var n = li; n < queries * fours && found != 3u; n += 64u) {
    let j = 4u * (n % fours);
    let bytes = four(U.mask_at + batch * U.mask_batch + wid.y * U.mask_head + (query + n / fours) * U.mask_row + (key + j) * U.mask_column);
    let there = 0xffffffffu >> (8u * (4u - min(4u, keys - j)));
    if ((bytes & there) != 0u) { found |= 1u; }
    let filled = bytes | ~there; // some byte of it is zero
    if (((filled - 0x01010101u) & ~filled & 0x80808080u) != 0u) { found |= 2u; }
  }
  let at = U.classified_at + number * U.verdict_words + tile / 16u;
  let bits = found << (2u * (tile % 16u));
  if ((word(at) & bits) != bits) { atomicOr(&schedule[at], bits); }
}
