// Which of the files that somebody chose is the receipt.

import { RECEIPT_MAX } from "./verify/receipt.js";

/** How a receipt of any version begins, wherever its format stands among its entries. */
const RECEIPT = /^\s*\{[^]*"format"\s*:\s*"markstein-receipt\//;

/** Whether a file is meant as a receipt: by its name, damaged as it may be, or by what is in it. */
export async function isReceipt(file) {
  if (file.name.endsWith(".markstein.json")) return true;
  if (file.size > RECEIPT_MAX) return false; // it is not read here
  try {
    return RECEIPT.test(await file.text());
  } catch {
    return false; // whoever reads it next says so
  }
}

/** Shows a file in a field as if it had been chosen there; `null` empties the field. */
export function putInto(field, file) {
  const list = new DataTransfer();
  if (file) list.items.add(file);
  field.files = list.files;
}
