// Texts to begin with.

/** A text to begin with; a path is fetched. */
export type Sample =
  | { readonly label: string; readonly text: string }
  | { readonly label: string; readonly path: string; readonly bytes: number };

/** The first is there when the page opens. */
export const SAMPLES: readonly Sample[] = [
  {
    label: "A note",
    text:
      "The harbour master wrote the names of the ships in a book. In the evening the harbour master " +
      "read the names of the ships aloud, and when the last of the names was read the harbour master " +
      "closed the book.",
  },
  {
    label: "Several scripts",
    text: "One sea, many words: 海, море, θάλασσα, समुद्र, 바다.\n" +
      "يكتب قبطان الميناء أسماء السفن في كتاب، ثم يقرأ أسماء السفن.\n" +
      "רב החובל כותב את שמות הספינות בספר.\n" +
      "👩‍🚀 🌊 ⛵️ naïve café, e\u0301 and é",
  },
  {
    label: "A program",
    text:
      "function sum(values) {\n  let total = 0;\n  for (const value of values) {\n    total += value;\n  }\n" +
      "  return total;\n}\n\nfunction mean(values) {\n  return sum(values) / values.length;\n}\n",
  },
  { label: "6 000 bytes of flashtile’s pages", path: "assets/pages.txt", bytes: 6000 },
];
