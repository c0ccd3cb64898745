/** Data that lie beside some checkouts of the repository, and packages that some configurations have. */

/** The folder of data of this name beside the checkout; nothing where it is absent or may not be read. */
export function dataFolder(name: string): URL | undefined {
  const folder = new URL(`../../../shared/data/${name}/`, import.meta.url);
  if (Deno.permissions.querySync({ name: "read", path: folder }).state !== "granted") {
    return undefined;
  }
  try {
    Deno.statSync(folder);
    return folder;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** A module of a package; nothing where the configuration that runs does not have the package. */
export async function importPackage<T>(name: string): Promise<T | undefined> {
  try {
    import.meta.resolve(name);
  } catch (error) {
    if (/not a dependency/.test((error as Error).message)) return undefined;
    throw error;
  }
  return await import(name) as T;
}
