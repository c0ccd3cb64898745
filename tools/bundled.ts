// What the npm package holds of other packages: the command line's, whose text goes into it, so that nobody who installs
// the library installs them too (docs/decisions/033-command-line.md).

/** The files that import these packages, from the root. */
export const BUNDLED: readonly string[] = ["src/cli/optique.ts", "src/cli/picture/encode_png.ts"];

/** The packages that these import. */
export const PACKAGES: readonly string[] = ["@optique/core", "fast-png"];

/** What the licences of these packages, all of them MIT, want to be said wherever their text goes. */
export const NOTICES =
  `The command line in this package (src/cli.js and what it loads) holds the text of

- @optique/core 1.3.6, Copyright 2025-2026 Hong Minhee
- fast-png 8.0.0, Copyright 2015 Michael Zasso
- iobuffer 6.0.1, Copyright 2015 Michael Zasso
- fflate 0.8.3, Copyright 2026 Arjun Barrett

all of them under the MIT License: its text is in the file LICENSE of this package.
`;
