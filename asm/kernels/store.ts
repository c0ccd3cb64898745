// Storing rows in a cache: each row of every head goes to its place in a page, in the type of the cache.
//
//   for each row
//     page, row of the page = its place
//     for each head
//       x = row as float32                                       [columns]
//       target[page][head][row] = x in the type of the cache
import { Store } from "../abi";
import { narrow, widen } from "../micro/convert";

export function storeRows(record: usize): void {
  const rows = load<i32>(record, Store.Rows), heads = load<i32>(record, Store.Heads), columns = load<i32>(record, Store.Columns);
  const sourceDtype = load<i32>(record, Store.SourceDtype), targetDtype = load<i32>(record, Store.TargetDtype);
  const pageRows = load<i32>(record, Store.PageRows), scratch = load<usize>(record, Store.Scratch);
  let row = load<usize>(record, Store.Source), place = load<usize>(record, Store.Places);
  for (let i = 0; i < rows; ++i, row += load<usize>(record, Store.SourceRow), place += 4) {
    const at = load<i32>(place);
    let target = load<usize>(record, Store.Target) + <usize>(at / pageRows) * load<usize>(record, Store.TargetPage) +
      <usize>(at % pageRows) * load<usize>(record, Store.TargetRow), source = row;
    for (let h = 0; h < heads; ++h) {
      widen(source, scratch, columns, sourceDtype);
      narrow(scratch, target, columns, targetDtype);
      source += load<usize>(record, Store.SourceHead);
      target += load<usize>(record, Store.TargetHead);
    }
  }
}
