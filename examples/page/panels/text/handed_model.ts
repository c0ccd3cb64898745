// A model that another panel hands over, to be looked into.

/** A model's file with its name. */
export interface HandedModel {
  readonly name: string;
  readonly file: Uint8Array<ArrayBuffer>;
}

let latest: HandedModel | undefined;
let listener: ((model: HandedModel) => void) | undefined;

/** Hands a model to the panel that looks into one. */
export function handModel(model: HandedModel): void {
  if (listener) listener(model);
  else latest = model;
}

/** Listens for models; one that came before is heard at once. */
export function onHandedModel(heard: (model: HandedModel) => void): void {
  listener = heard;
  if (latest) heard(latest);
  latest = undefined;
}
