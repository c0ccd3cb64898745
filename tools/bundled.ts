// Files of the command line that hold the packages it is made of: the npm package carries these along as one text each, so
// that nobody who installs the library installs them too (docs/decisions/033-command-line.md).

/** Paths from the root. */
export const BUNDLED: readonly string[] = ["src/cli/optique.ts", "src/cli/picture/encode_png.ts"];

/** The packages that these import. */
export const PACKAGES: readonly string[] = ["@optique/core", "fast-png"];

/** What the licences of these packages, all of them MIT, want to be said wherever their text goes. */
export const NOTICES: Readonly<Record<string, readonly string[]>> = {
  "src/cli/optique.ts": ["@optique/core 1.3.6, Copyright 2025-2026 Hong Minhee"],
  "src/cli/picture/encode_png.ts": [
    "fast-png 8.0.0, Copyright 2015 Michael Zasso",
    "iobuffer 6.0.1, Copyright 2015 Michael Zasso",
    "fflate 0.8.3, Copyright 2026 Arjun Barrett",
  ],
};
